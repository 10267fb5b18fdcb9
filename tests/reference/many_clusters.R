source("common.R")

recipe <- list(
  seed = 20606, sizes = rep(c(2, 3, 4, 3), 2500),
  columns = list(x = normal(), w = normal(level = "cluster")),
  mean = list(term(1, "1"), term(0.5, "x"), term(-0.3, "w")),
  random = random("1", lower(1, 0.7)), sd = 1
)
run_case(
  "many_clusters", "10,000 clusters of about 3 rows",
  y ~ x + w + (1 | g), TRUE, "g", recipe, kr = FALSE
)
