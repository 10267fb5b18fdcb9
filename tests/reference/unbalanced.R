source("common.R")

recipe <- list(
  seed = 20707, sizes = floor(400^((0:199) / 199) + 1e-9), columns = list(x = normal()),
  mean = list(term(1, "1"), term(0.5, "x")),
  random = random(c("1", "x"), lower(2, 0.8, -0.2, 0.4)), sd = 2
)
run_case(
  "unbalanced", "200 clusters of 1 to 400 rows",
  y ~ x + (1 + x | g), FALSE, "g", recipe, tests = list(c("Intercept", "x"))
)
