source("common.R")

recipe <- list(
  seed = 20808, sizes = rep(c(7, 9, 14), 15),
  columns = list(large = normal(0, 1e5), small = normal(0, 1e-5)),
  mean = list(term(2e4, "1"), term(0.1, "large"), term(-5e8, "small")),
  random = random(c("1", "large"), lower(2, 1e4, 0.03, 0.05)), sd = 1e4
)
data <- generate(recipe)
run_case(
  "badly_scaled", "columns of size 1e5 and 1e-5, an outcome of size 1e4",
  y ~ large + small + (1 + large | g), TRUE, "g", recipe,
  tests = list(c(large = 1e5, small = 1e-5)),
  other = list(
    formula = y ~ a + b + (1 + a | g),
    data = data.frame(y = data$y / 1e4, a = data$large / 1e5, b = data$small / 1e-5),
    y_scale = 1e4, T = diag(c(1, 1e5, 1e-5)), T_z = diag(c(1, 1e5)),
    terms = c("(Intercept)", "large", "small"), random_terms = c("(Intercept)", "large"),
    note = "Fitted to columns of size 1 and carried back."
  )
)
