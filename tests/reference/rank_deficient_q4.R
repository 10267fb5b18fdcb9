source("common.R")

recipe <- list(
  seed = 21414, sizes = rep(c(8, 12), 15),
  columns = list(x1 = normal(), x2 = normal(), x3 = normal()),
  mean = list(term(1, "1"), term(0.5, "x1")),
  random = random(c("1", "x1", "x2", "x3"), lower(4, 1, 0.4, 0.5, -0.5, 0, 0, 0.3, 0.4, 0, 0)),
  sd = 1
)
run_case(
  "rank_deficient_q4", "four random effects whose covariance has a lower rank",
  y ~ x1 + x2 + x3 + (1 + x1 + x2 + x3 | g), FALSE, "g", recipe
)
