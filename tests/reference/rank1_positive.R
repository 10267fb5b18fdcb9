source("common.R")

recipe <- list(
  seed = 21112, sizes = rep(c(5, 8), 15), columns = list(x = normal()),
  mean = list(term(1, "1"), term(0.5, "x")),
  random = random(c("1", "x"), lower(2, 1, 0.5, 0)), sd = 1
)
run_case(
  "rank1_positive", "a correlation estimated as +1",
  y ~ x + (1 + x | g), FALSE, "g", recipe
)
