source("common.R")

recipe <- list(
  seed = 21818, sizes = rep(c(4, 6, 11), 10), columns = list(x = normal(1, 1)),
  mean = list(term(0.5, "x")), random = random("1", lower(1, 0.8)), sd = 1
)
run_case(
  "no_intercept", "no fixed intercept",
  y ~ 0 + x + (1 | g), FALSE, "g", recipe
)
