source("common.R")

recipe <- list(
  seed = 21212, sizes = rep(c(5, 8), 15), columns = list(t = time(0, 1)),
  mean = list(term(1, "1"), term(0.5, "t")),
  random = random(c("1", "t"), lower(2, 2, -0.3, 0)), sd = 1
)
run_case(
  "rank1_negative", "a correlation estimated as -1",
  y ~ t + (1 + t | g), TRUE, "g", recipe, kr = FALSE
)
