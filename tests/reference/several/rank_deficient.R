source("common.R")

several_case(
  "rank_deficient", "crossed, a correlation estimated as 1", y ~ x + (1 + x | c) + (1 | d), FALSE,
  c("c", "d"),
  list(
    seed = 35, rows = 300, sd = 1, drop = c(7, 2),
    factors = list(c = spread(12, 5), d = spread(9, 4, 1)),
    columns = list(x = normally(1, 1)), mean = list("1" = 2, x = 0.5),
    random = list(
      vary("c", c("1", "x"), lower(2, 0.6, 0.4, 0)), vary("d", "1", matrix(0.6))
    )
  )
)
