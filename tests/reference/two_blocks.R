source("common.R")

recipe <- list(
  seed = 21919, sizes = rep(c(7, 9, 12), 15), columns = list(x1 = normal(), x2 = normal()),
  mean = list(term(1, "1"), term(0.5, "x1")),
  random = random(c("1", "x1", "x2"), lower(3, 1, 0, 0.6, 0, 0.3, 0.5)), sd = 1
)
run_case(
  "two_blocks", "an intercept apart from two correlated slopes",
  y ~ x1 + x2 + (1 | g) + (0 + x1 + x2 | g), TRUE, "g", recipe, tests = list(c("x1", "x2"))
)
