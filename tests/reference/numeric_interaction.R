source("common.R")

recipe <- list(
  seed = 21515, sizes = rep(c(5, 7, 9), 12),
  columns = list(x1 = normal(2, 1), x2 = normal(level = "cluster")),
  mean = list(term(1, "1"), term(0.5, "x1"), term(0.3, "x2"), term(-0.2, "x1", "x2")),
  random = random(c("1", "x1"), lower(2, 1, -0.2, 0.5)), sd = 1
)
run_case(
  "numeric_interaction", "a slope that depends on a covariate of the clusters",
  y ~ x1 * x2 + (1 + x1 | g), FALSE, "g", recipe, tests = list(c("x2", "x1:x2"))
)
