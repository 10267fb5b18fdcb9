source("common.R")

several_case(
  "cells", "two crossed factors and their cells", y ~ x + (1 | c) + (1 | d) + (1 | c:d), TRUE,
  c("c", "d", "c:d"),
  list(
    seed = 34, rows = 600, sd = 1, drop = c(9, 2),
    factors = list(c = spread(12, 1), d = spread(10, 7, 1)),
    columns = list(x = normally(0, 1)), mean = list("1" = 2, x = 0.5),
    random = list(
      vary("c", "1", matrix(0.8)), vary("d", "1", matrix(0.6)), vary(c("c", "d"), "1", matrix(0.7))
    )
  )
)
