source("common.R")

recipe <- list(
  seed = 20101, sizes = rep(c(6, 8, 10), 12),
  columns = list(x1 = normal(), x2 = normal()),
  mean = list(term(2, "1"), term(1, "x1"), term(-0.5, "x2")),
  random = random(c("1", "x1", "x2"), lower(3, 1, 0.3, 0.7, -0.2, 0.2, 0.6)), sd = 1
)
run_case(
  "two_slopes", "two random slopes, q = 3",
  y ~ x1 + x2 + (1 + x1 + x2 | g), TRUE, "g", recipe, tests = list(c("x1", "x2"))
)
