source("common.R")

recipe <- list(
  seed = 21313, sizes = rep(c(6, 9), 15), columns = list(x1 = normal(), x2 = normal()),
  mean = list(term(1, "1"), term(0.5, "x1")),
  random = random(c("1", "x1", "x2"), lower(3, 1, 0.4, 0, -0.5, 0, 0)), sd = 1
)
run_case(
  "rank_deficient_q3", "three random effects whose covariance has a lower rank",
  y ~ x1 + x2 + (1 + x1 + x2 | g), TRUE, "g", recipe, kr = FALSE
)
