source("common.R")

recipe <- list(
  seed = 20404, sizes = c(12, 15), columns = list(x = normal()),
  mean = list(term(1, "1"), term(0.5, "x")), random = random("1", lower(1, 2)), sd = 1
)
run_case(
  "two_clusters", "the fewest clusters there can be",
  y ~ x + (1 | g), TRUE, "g", recipe
)
