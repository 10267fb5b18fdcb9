source("common.R")

several_case(
  "nested_and_crossed", "two levels nested, with a slope, crossed with two more factors",
  y ~ x + (1 + x | a) + (1 | a:b) + (1 | c) + (1 | d), FALSE, c("a", "a:b", "c", "d"),
  list(
    seed = 33, rows = 800, sd = 1, drop = c(5, 1),
    factors = list(
      a = blocks_of(c(16, 50)), b = blocks_of(c(5, 10)), c = spread(19, 7), d = spread(13, 5, 2)
    ),
    columns = list(x = normally(0, 1)), mean = list("1" = 2, x = 0.5),
    random = list(
      vary("a", c("1", "x"), lower(2, 0.8, 0.2, 0.4)), vary(c("a", "b"), "1", matrix(0.7)),
      vary("c", "1", matrix(0.5)), vary("d", "1", matrix(0.9))
    )
  )
)
