source("common.R")

recipe <- list(
  seed = 20303, sizes = rep(c(1, 1, 1, 3, 8), 30),
  columns = list(x = normal(), w = normal(level = "cluster")),
  mean = list(term(10, "1"), term(1, "x"), term(0.4, "w")),
  random = random(c("1", "x"), lower(2, 1, 0.4, 0.6)), sd = 0.8
)
run_case(
  "singletons", "most clusters have a single row",
  y ~ x + w + (1 + x | g), TRUE, "g", recipe, tests = list(c("x", "w"))
)
