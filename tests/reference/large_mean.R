source("common.R")

# lme4's cross-products of the raw column leave 2e-8 of noise in the log-likelihood, and 0.3 % in
# the degrees of freedom, whose Hessian is made of differences.
recipe <- list(
  seed = 20909, sizes = rep(c(4, 6), 20), columns = list(x = normal(1e4, 1)),
  mean = list(term(3, "1"), term(0.5, "x")), random = random("1", lower(1, 1)), sd = 1
)
data <- generate(recipe)
run_case(
  "large_mean", "a covariate of mean 1e4 and standard deviation 1",
  y ~ x + (1 | g), TRUE, "g", recipe,
  other = list(
    formula = y ~ a + (1 | g), data = data.frame(y = data$y, a = data$x - 1e4),
    y_scale = 1, T = matrix(c(1, 0, 1e4, 1), 2), T_z = diag(1),
    terms = c("(Intercept)", "x"), random_terms = "(Intercept)",
    note = "Fitted to x - 1e4 and carried back."
  )
)
