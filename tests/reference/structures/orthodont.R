# Writes orthodont.json: five covariance structures of one mean model on nlme's Orthodont, by ML;
# run from this folder. nlme multiplies ML standard errors by sqrt(N / (N - p)) in vcov() of gls and
# in summary() of lme; what is written is without that factor, as lme4 and Stata have it.
suppressPackageStartupMessages({library(nlme); library(jsonlite)})
d <- as.data.frame(Orthodont)
d$a <- d$age - 11; d$girl <- as.numeric(d$Sex == "Female"); d$visit <- match(d$age, c(8, 10, 12, 14))
f <- distance ~ a * girl
tight <- list(tolerance = 1e-12, msTol = 1e-13, msMaxIter = 1000, maxIter = 500)
lc <- do.call(lmeControl, c(tight, opt = "optim")); gc <- do.call(glsControl, c(tight, opt = "optim"))
fits <- list(
  intercept = lme(f, d, random = ~ 1 | Subject, method = "ML", control = lc),
  slope = lme(f, d, random = ~ a | Subject, method = "ML", control = lc),
  car1 = gls(f, d, correlation = corCAR1(form = ~ age | Subject), method = "ML", control = gc),
  car1_power = gls(f, d, correlation = corCAR1(form = ~ age | Subject), weights = varPower(form = ~ age), method = "ML", control = gc),
  unstructured = gls(f, d, correlation = corSymm(form = ~ visit | Subject), weights = varIdent(form = ~ 1 | visit), method = "ML", control = gc))
N <- nrow(d); p <- 4
se <- function(m) if (inherits(m, "gls")) sqrt(vcov(m)["a:girl", "a:girl"] * (N - p) / N) else sqrt(vcov(m)["a:girl", "a:girl"])
est <- function(m) unname((if (inherits(m, "gls")) coef(m) else fixef(m))["a:girl"])
out <- lapply(fits, function(m) { l <- logLik(m); k <- attr(l, "df")
  list(n_parameters = k, log_likelihood = as.numeric(l), aic = AIC(m), bic = -2 * as.numeric(l) + k * log(N),
       aicc = AIC(m) + 2 * k * (k + 1) / (N - k - 1), estimate = est(m), std_error = se(m)) })
lr <- function(a, b) 2 * as.numeric(logLik(fits[[b]]) - logLik(fits[[a]]))
s <- lr("intercept", "slope"); w <- lr("car1", "car1_power"); u <- lr("slope", "unstructured")
tests <- list(slope = list(against = "intercept", statistic = s, df = 2, p_value = mean(pchisq(s, 1:2, lower.tail = FALSE))),
  car1_power = list(against = "car1", statistic = w, df = 1, p_value = pchisq(w, 1, lower.tail = FALSE)),
  unstructured = list(against = "slope", statistic = u, df = 6, p_value = pchisq(u, 6, lower.tail = FALSE)))
writeLines(toJSON(list(fits = out, tests = tests, session = list(R = R.version.string, nlme = as.character(packageVersion("nlme")))), auto_unbox = TRUE, digits = NA, pretty = TRUE), "orthodont.json")
