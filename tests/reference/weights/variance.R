# Known sampling variances: metafor's random-effects models. From this folder: Rscript variance.R.
# The BCG trials (Colditz et al. 1994) and the school calendars (Konstantopoulos 2011), which has
# studies within districts; log-likelihoods by REML without log|X'X|, as lme4's.

source("common.R")
suppressPackageStartupMessages(library(metafor))

described <- function(fit, data, constant) {
  list(
    data = data,
    log_likelihood = as.numeric(logLik(fit)) - constant,
    beta = as.vector(coef(fit)),
    se = fit$se,
    Q = fit$QE,
    Q_p = fit$QEp
  )
}
tight <- list(threshold = 1e-14, maxiter = 1000)

bcg <- escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
data <- data.frame(trial = bcg$trial, yi = as.numeric(bcg$yi), vi = bcg$vi, ablat = bcg$ablat)

log_det <- function(X) as.numeric(determinant(crossprod(X))$modulus) / 2
fit <- rma(yi, vi, data = data, method = "REML", control = tight)
found <- predict(fit)
case <- described(fit, data, log_det(model.matrix(fit)))
case <- c(case, list(tau2 = fit$tau2, I2 = fit$I2 / 100, prediction = c(found$pi.lb, found$pi.ub),
                     blup = as.numeric(ranef(fit)$pred), blup_se = as.numeric(ranef(fit)$se)))
write_case("variance_reml", case)

fit <- rma(yi, vi, mods = ~ ablat, data = data, method = "ML", control = tight)
case <- described(fit, data, 0)
write_case("variance_ml", c(case, list(tau2 = fit$tau2, I2 = fit$I2 / 100)))

data <- as.data.frame(dat.konstantopoulos2011)[c("district", "school", "yi", "vi")]
data <- data.frame(lapply(data, as.numeric))
fit <- rma.mv(yi, vi, random = ~ 1 | district/school, data = data, method = "REML",
              control = list(optimizer = "optim", optmethod = "BFGS", reltol = 1e-15))
case <- described(fit, data, log_det(model.matrix(fit)))
write_case("variance_nested", c(case, list(sigma2 = fit$sigma2)))
