source("common.R")

recipe <- list(
  seed = 21717, sizes = rep(c(4, 6, 11), 10), columns = list(x = normal(1, 1)),
  mean = list(term(1, "1"), term(0.5, "x")), random = random("x", lower(1, 0.8)), sd = 1
)
run_case(
  "slope_only", "a random slope without a random intercept",
  y ~ x + (0 + x | g), TRUE, "g", recipe
)
