# Writes over_time.json; run from this folder. nlme's own data; least-squares residuals of gls.
suppressPackageStartupMessages({library(nlme); library(jsonlite)})

# Equal visits: ACF of residuals that were standardised by age, and the semivariogram by age apart.
d <- as.data.frame(Orthodont)
r <- resid(gls(distance ~ Sex * age, d))
z <- (r - ave(r, d$age)) / ave(r, d$age, FUN = sd)
acf <- ACF(gls(z ~ 1, data.frame(d, z = z)), form = ~ 1 | Subject, resType = "response")
d$r <- r
each <- Variogram(gls(distance ~ Sex * age, d), form = ~ age | Subject, resType = "response", collapse = "none")
w <- reshape(d[, c("Subject", "age", "r")], idvar = "Subject", timevar = "age", direction = "wide")
orthodont <- list(
  variance = as.vector(tapply(r, d$age, var)),
  acf = acf$ACF[-1], pairs = as.vector(attr(acf, "n.used"))[-1],
  gaps = sort(unique(each$dist)), semivariance = as.vector(tapply(each$variog, each$dist, mean)),
  visit_pairs = { C <- cor(w[, -1]); as.vector(C[lower.tri(C)]) }  # 1,2 1,3 1,4 2,3 2,4 3,4
)

# Uneven times: nlme's binned semivariogram, in twelve bins of about equally many pairs.
b <- as.data.frame(BodyWeight)
fit <- gls(weight ~ Time * Diet, b)
pairs <- Variogram(fit, form = ~ Time | Rat, resType = "response", collapse = "none")
breaks <- unique(quantile(pairs$dist, 0:12 / 12))
breaks[1] <- 0
v <- Variogram(fit, form = ~ Time | Rat, resType = "response", breaks = breaks)
res <- resid(fit)
other <- outer(as.character(b$Rat), as.character(b$Rat), "!=")
body_weight <- list(
  semivariance = v$variog, pairs = as.vector(v$n.pairs),
  distance = as.vector(tapply(pairs$dist, cut(pairs$dist, breaks), mean)),
  total = mean((outer(res, res, "-")^2 / 2)[other])
)

# What fitted structures imply: the covariance of a child's four rows.
tight <- glsControl(tolerance = 1e-12, msTol = 1e-14, msMaxIter = 500, maxIter = 500)
implied <- function(...) {
  fit <- gls(distance ~ Sex * age, d, control = tight, ...)
  unclass(getVarCov(fit, individual = "M01"))
}
un <- implied(correlation = corSymm(form = ~ 1 | Subject), weights = varIdent(form = ~ 1 | age))
car <- implied(correlation = corCAR1(form = ~ age | Subject), weights = varPower(form = ~ age))

writeLines(toJSON(list(orthodont = orthodont, unstructured = un, car1_power = car, body_weight = body_weight,
  session = list(R = R.version.string, nlme = as.character(packageVersion("nlme")))),
  auto_unbox = TRUE, digits = NA, pretty = TRUE), "over_time.json")
