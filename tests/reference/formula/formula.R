# Writes formula.json: bases and contrasts of R, and fits of lme4 with them; run from this folder.
source("../common.R")
suppressPackageStartupMessages({
  library(nlme)
  library(splines)
})

x <- c(0.3, 1.1, 1.9, 2.2, 2.8, 3.0, 3.7, 4.1, 4.4, 5.9, 6.2, 7.7, 8.05, 9.6, 12.4)
new <- c(-1, 0.3, 2.5, 7, 12.4, 14)
inside <- c(0.3, 2.5, 7, 12.4)

# Rows of a basis on the data and elsewhere.
basis <- function(found, at = new) {
  list(here = unname(unclass(found)[seq_along(x), , drop = FALSE]),
       at = at, there = unname(unclass(suppressWarnings(predict(found, at)))[seq_along(at), , drop = FALSE]))
}
bases <- list(
  "poly(x, 2)" = basis(poly(x, 2)),
  "poly(x, 4)" = basis(poly(x, 4)),
  "poly(x, 3, raw=TRUE)" = basis(poly(x, 3, raw = TRUE)),
  "bs(x, df=4)" = basis(bs(x, df = 4)),
  "bs(x, df=5, degree=2)" = basis(bs(x, df = 5, degree = 2)),
  "bs(x, df=1, degree=1)" = basis(bs(x, df = 1, degree = 1)),
  "bs(x)" = basis(bs(x)),
  "bs(x, knots=c(3, 6), degree=3)" = basis(bs(x, knots = c(3, 6), degree = 3)),
  "bs(x, knots=5, Boundary.knots=c(0, 15))" = basis(bs(x, knots = 5, Boundary.knots = c(0, 15))),
  "ns(x, df=3)" = basis(ns(x, df = 3)),
  "ns(x)" = basis(ns(x)),
  "ns(x, knots=c(3, 6))" = basis(ns(x, knots = c(3, 6))),
  "ns(x, df=3, Boundary.knots=c(1, 9))" = basis(ns(x, df = 3, Boundary.knots = c(1, 9)))
)
contrasts_of <- function(n) list(sum = contr.sum(n), helmert = contr.helmert(n), poly = contr.poly(n))
contrasts <- lapply(setNames(c(2, 3, 5), c("2", "3", "5")), function(n) lapply(contrasts_of(n), unname))

sleep <- lme4::sleepstudy
sleep$Subject <- as.character(sleep$Subject)
sleep$known <- sleep$Days^1.5
sleep$Days2 <- 2 * sleep$Days + 1
machines <- as.data.frame(Machines)
machines$Worker <- as.character(machines$Worker)
oats <- as.data.frame(Oats)[-c(1, 2, 9, 14, 20, 21, 40, 55, 56), ]
oats$Variety <- factor(as.character(oats$Variety))
oats$Block <- factor(as.character(oats$Block))
oats$n <- factor(oats$nitro)

fit_of <- function(formula, data, reml = TRUE, new = NULL, type3 = FALSE) {
  environment(formula) <- globalenv()
  control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6),
                         calc.derivs = FALSE, check.conv.singular = "ignore")
  fit <- lmerTest::lmer(formula, data = data, REML = reml, control = control)
  out <- list(
    estimate = I(unname(fixef(fit))), std_error = I(unname(sqrt(diag(as.matrix(vcov(fit)))))),
    names = I(names(fixef(fit))), log_likelihood = as.numeric(logLik(fit)), sigma = sigma(fit)
  )
  dropped <- attr(getME(fit, "X"), "col.dropped")
  if (length(dropped)) out$dropped <- I(names(dropped))
  if (!is.null(new)) out$predicted <- I(unname(predict(fit, new, re.form = NA)))
  if (type3) {
    found <- anova(fit, type = 3)
    out$tests <- list(
      term = I(rownames(found)), F = I(found[["F value"]]), df_num = I(found$NumDF),
      df_den = I(found$DenDF)
    )
    # Without factors anova() tests combinations of the coefficients that depend on their order, and
    # Satterthwaite's df depend on the rows of L: here are those of the coefficients themselves.
    if (nrow(found) == 1) {
      p <- length(fixef(fit))
      out$tests$df_den <- I(lmerTest::contestMD(fit, diag(p)[-1, ])$DenDF)
    }
  }
  out
}
at <- data.frame(Days = c(0, 2.5, 9), known = c(1, 2, 3), Days2 = c(1, 6, 19))
fits <- list(
  scale = fit_of(Reaction ~ scale(Days) + (scale(Days) | Subject), sleep, new = at),
  center = fit_of(Reaction ~ scale(Days, scale = FALSE) + log10(Days + 1) + sin(Days) + cos(Days) + (1 | Subject), sleep, new = at),
  poly = fit_of(Reaction ~ poly(Days, 2) + (1 | Subject), sleep, new = at, type3 = TRUE),
  poly_random = fit_of(Reaction ~ poly(Days, 2) + (poly(Days, 1) | Subject), sleep, new = at),
  bs = fit_of(Reaction ~ bs(Days, df = 4) + (Days | Subject), sleep, new = at, type3 = TRUE),
  ns = fit_of(Reaction ~ ns(Days, df = 3) + (1 | Subject), sleep, new = at, type3 = TRUE),
  offset = fit_of(Reaction ~ Days + offset(known) + (Days | Subject), sleep, new = at),
  log = fit_of(log(Reaction) ~ Days + (Days | Subject), sleep, new = at),
  collinear = suppressMessages(fit_of(Reaction ~ Days + Days2 + known + (1 | Subject), sleep, new = at)),
  treatment = fit_of(yield ~ C(Variety, contr.treatment(3, base = 2)) * nitro + (1 | Block), oats),
  sum = fit_of(yield ~ C(Variety, contr.sum) * C(n, contr.sum) + (1 | Block), oats, type3 = TRUE),
  helmert = fit_of(yield ~ C(Variety, contr.helmert) + nitro + (1 | Block), oats, type3 = TRUE),
  poly_contrast = fit_of(yield ~ Variety + C(n, contr.poly) + (1 | Block), oats, type3 = TRUE),
  spline_by_factor = fit_of(yield ~ poly(nitro, 2) * Variety + (1 | Block), oats, type3 = TRUE),
  apart = fit_of(
    score ~ Machine + (1 | Worker) + (0 + b | Worker) + (0 + c | Worker),
    transform(machines, b = as.numeric(Machine == "B"), c = as.numeric(Machine == "C"))
  ),
  inside = fit_of(yield ~ Variety + nitro %in% Variety + (1 | Block), oats)
)
found <- list(x = x, bases = bases, contrasts = contrasts, fits = fits)
writeLines(jsonlite::toJSON(found, auto_unbox = TRUE, digits = NA, pretty = TRUE), "formula.json")
