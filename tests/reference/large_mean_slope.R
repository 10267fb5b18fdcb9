source("common.R")

# The effects are drawn at x = 1e4: row by row, u0 + u1 (x - 1e4).
recipe <- list(
  seed = 21010, sizes = rep(c(6, 9, 12), 20), columns = list(x = normal(1e4, 1)),
  mean = list(term(3, "1"), term(0.5, "x")),
  random = random(c("1", "x"), matrix(c(1 - 1e4 * 0.2, 0.2, -1e4 * 0.6, 0.6), 2)), sd = 1
)
data <- generate(recipe)
T <- matrix(c(1, 0, 1e4, 1), 2)
run_case(
  "large_mean_slope", "a random slope of a covariate of mean 1e4 and standard deviation 1",
  y ~ x + (1 + x | g), FALSE, "g", recipe,
  other = list(
    formula = y ~ a + (1 + a | g), data = data.frame(y = data$y, a = data$x - 1e4),
    y_scale = 1, T = T, T_z = T,
    terms = c("(Intercept)", "x"), random_terms = c("(Intercept)", "x"),
    note = "Fitted to x - 1e4 and carried back."
  )
)
