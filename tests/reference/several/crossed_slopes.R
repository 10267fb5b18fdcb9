source("common.R")

several_case(
  "crossed_slopes", "crossed, a slope in each, one without correlation",
  y ~ x + w + (1 + x | c) + (1 + w || d), TRUE, c("c", "d"),
  list(
    seed = 32, rows = 500, sd = 1, drop = c(11, 1),
    factors = list(c = spread(14, 5), d = spread(17, 7, 3)),
    columns = list(x = normally(1, 1), w = normally(-1, 1)), mean = list("1" = 2, x = 0.5, w = -0.3),
    random = list(
      vary("c", c("1", "x"), lower(2, 0.9, -0.3, 0.4)),
      vary("d", c("1", "w"), lower(2, 0.7, 0, 0.5))
    )
  ),
  tests = list(c("x", "w"))
)
