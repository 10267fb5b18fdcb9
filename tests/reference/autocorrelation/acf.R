# Autocorrelation of residuals by nlme (ACF), and its normalised residuals; writes acf.json here.
# Run from this folder: Rscript acf.R. The estimates are written too: the test evaluates at them,
# because searches of nlme stop where their log-likelihood does, which is 1e-6 in parameters.
suppressPackageStartupMessages({library(nlme); library(jsonlite)})
tight <- glsControl(tolerance = 1e-12, msTol = 1e-14, msMaxIter = 500, maxIter = 500)
# gls puts the clusters in the order of their levels, and its normalised residuals of data in
# another order mix up clusters: so levels in the order of the rows.
in_order <- function(g) factor(as.character(g), unique(as.character(g)))
told <- function(fit, parameters) {
  of <- function(type) {
    a <- ACF(fit, resType = type)
    list(ACF = a$ACF[-1], pairs = as.integer(attr(a, "n.used"))[-1])
  }
  list(log_likelihood = as.numeric(logLik(fit)), parameters = parameters, pearson = of("pearson"),
       normalized = of("normalized"), residuals = as.numeric(resid(fit, type = "normalized")))
}
d <- as.data.frame(Ovary)
d$Mare <- in_order(d$Mare)
d$k <- ave(d$Time, d$Mare, FUN = seq_along)
d$s <- sin(2 * pi * d$Time)
d$c <- cos(2 * pi * d$Time)
ar1 <- gls(follicles ~ s + c, d, correlation = corAR1(form = ~ k | Mare), control = tight)
b <- as.data.frame(BodyWeight)
b$Rat <- in_order(b$Rat)
b$Diet <- factor(b$Diet)
car1 <- gls(weight ~ Time * Diet, b, correlation = corCAR1(form = ~ Time | Rat),
            weights = varExp(form = ~ Time), control = tight)
o <- as.data.frame(Orthodont)
o$Subject <- in_order(o$Subject)
o$visit <- (o$age - 8) / 2 + 1
un <- gls(distance ~ age * Sex, o, correlation = corSymm(form = ~ visit | Subject),
          weights = varIdent(form = ~ 1 | age), control = tight)
phi <- function(fit) coef(fit$modelStruct$corStruct, unconstrained = FALSE)[[1]]
sd <- c(1, coef(un$modelStruct$varStruct, unconstrained = FALSE))
R <- corMatrix(un$modelStruct$corStruct)[[1]]
x <- list(
  ovary_ar1 = told(ar1, list(phi = phi(ar1))),
  bodyweight_car1 = told(car1, list(phi = phi(car1), delta = coef(car1$modelStruct$varStruct)[[1]])),
  orthodont_un = told(un, list(R = R * outer(sd, sd))),
  session = list(R = R.version.string, nlme = as.character(packageVersion("nlme"))))
writeLines(toJSON(x, auto_unbox = TRUE, digits = NA, pretty = TRUE), "acf.json")
