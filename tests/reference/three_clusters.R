source("common.R")

recipe <- list(
  seed = 20505, sizes = c(8, 11, 20), columns = list(x = normal()),
  mean = list(term(1, "1"), term(0.5, "x")),
  random = random(c("1", "x"), lower(2, 2, 0.5, 1)), sd = 1
)
run_case(
  "three_clusters", "random slopes of three clusters",
  y ~ x + (1 + x | g), TRUE, "g", recipe
)
