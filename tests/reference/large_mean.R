source("common.R")

recipe <- list(
  seed = 20909, sizes = rep(c(4, 6), 20), columns = list(x = normal(1e4, 1)),
  mean = list(term(3, "1"), term(0.5, "x")), random = random("1", lower(1, 1)), sd = 1
)
run_case(
  "large_mean", "a covariate of mean 1e4 and standard deviation 1",
  y ~ x + (1 | g), TRUE, "g", recipe
)
