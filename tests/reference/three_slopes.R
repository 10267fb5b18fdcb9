source("common.R")

recipe <- list(
  seed = 20202, sizes = rep(c(9, 12, 15), 20),
  columns = list(x1 = normal(), x2 = normal(), x3 = normal()),
  mean = list(term(2, "1"), term(1, "x1"), term(-0.5, "x2")),
  random = random(
    c("1", "x1", "x2", "x3"), lower(4, 1, 0.3, 0.7, -0.2, 0.2, 0.6, 0.1, 0.3, -0.2, 0.5)
  ),
  sd = 1
)
run_case(
  "three_slopes", "three random slopes, q = 4",
  y ~ x1 + x2 + x3 + (1 + x1 + x2 + x3 | g), FALSE, "g", recipe,
  tests = list(c("x1", "x2", "x3"))
)
