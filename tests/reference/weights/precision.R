# Precision weights: lme4's weights=, residual variance sigma^2 / w. From this folder: Rscript
# precision.R. Satterthwaite is lmerTest's of the same fit. pbkrtest leaves weights out of Sigma, so
# that Kenward-Roger is that of the rows times sqrt(w), whose likelihood is the same.

source("common.R")

described <- function(fit, scaled, data, formula) {
  effects <- lapply(ranef(fit, condVar = TRUE), function(u) {
    list(u = as.matrix(u), variance = aperm(attr(u, "postVar"), c(3, 1, 2)))
  })
  near <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10))
  tested <- lmerTest::lmer(formula, data, weights = w, control = near)
  stopifnot(abs(getME(tested, "theta") - getME(fit, "theta")) < 1e-5)
  p <- length(fixef(fit))
  adjusted <- vcovAdj(scaled)
  list(
    data = data,
    log_likelihood = as.numeric(logLik(fit)),
    sigma2 = sigma(fit)^2,
    beta = unname(fixef(fit)),
    se = sqrt(diag(as.matrix(vcov(fit)))),
    G = lapply(VarCorr(fit), function(g) unname(matrix(as.vector(g), nrow(g)))),
    effects = effects,
    satterthwaite = sapply(seq_len(p), function(k) contest1D(tested, diag(p)[k, ])$df),
    kr_se = sqrt(diag(as.matrix(adjusted))),
    kr_df = sapply(seq_len(p), function(k) Lb_ddf(diag(p)[k, ], vcov(scaled), adjusted))
  )
}

data <- transform(sleepstudy, w = 0.5 + (7 * (seq_len(180) - 1)) %% 11)
formula <- Reaction ~ Days + (Days | Subject)
fit <- polished(formula, data, data$w)
scaled <- transform(data, r = sqrt(w), y = Reaction * sqrt(w), x = Days * sqrt(w))
again <- polished(y ~ 0 + r + x + (0 + r + x | Subject), scaled)
stopifnot(abs(getME(fit, "theta") - getME(again, "theta")) < 1e-8)
write_case("precision_slopes", described(fit, again, data, formula))

data <- transform(Penicillin, w = 1 + (3 * (seq_len(144) - 1)) %% 4)
formula <- diameter ~ 1 + (1 | plate) + (1 | sample)
fit <- polished(formula, data, data$w)
scaled <- transform(data, r = sqrt(w), y = diameter * sqrt(w))
again <- polished(y ~ 0 + r + (0 + r | plate) + (0 + r | sample), scaled)
stopifnot(abs(getME(fit, "theta") - getME(again, "theta")) < 1e-8)
write_case("precision_crossed", described(fit, again, data, formula))
