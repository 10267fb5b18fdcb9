source("common.R")

several_case(
  "no_outer_variance", "nested, the variance between the outer levels is estimated as 0",
  y ~ x + (1 | a / b), TRUE, c("a", "a:b"),
  list(
    seed = 36, rows = 400, sd = 1, drop = c(7, 2),
    factors = list(a = blocks_of(c(20, 20)), b = blocks_of(c(4, 5))),
    columns = list(x = normally(0, 1)), mean = list("1" = 2, x = 0.5),
    random = list(vary(c("a", "b"), "1", matrix(0.7)))
  )
)
