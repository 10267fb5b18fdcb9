source("common.R")

several_case(
  "three_levels", "three levels, unbalanced, a slope at the middle one",
  y ~ x + w + (1 | a) + (1 + x | a:b) + (1 | a:b:c), TRUE, c("a", "a:b", "a:b:c"),
  list(
    seed = 31, rows = 600, sd = 1, drop = c(7, 2),
    factors = list(a = blocks_of(c(12, 50)), b = blocks_of(c(5, 10)), c = spread(3, 1)),
    columns = list(x = normally(1, 1), w = normally(-1, 2)), mean = list("1" = 2, x = 0.5, w = -0.3),
    random = list(
      vary("a", "1", matrix(0.8)), vary(c("a", "b"), c("1", "x"), lower(2, 0.7, 0.2, 0.5)),
      vary(c("a", "b", "c"), "1", matrix(0.6))
    )
  ),
  tests = list(c("x", "w"))
)
