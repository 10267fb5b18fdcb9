# Values for checks of assumptions, on R's own data. From this folder: Rscript checks.R > checks.json
of <- function(x) {  # Shapiro and Francia's W' with Blom's quantiles, and Royston's p-value
  n <- length(x)
  w <- cor(sort(x), qnorm(ppoints(x, a = 3 / 8)))^2
  u <- log(n); v <- log(u)
  mu <- -1.2725 + 1.0521 * (v - u)
  sig <- 1.0308 - 0.26758 * (v + 2 / u)
  c(sqrt(w), pnorm((log(1 - w) - mu) / sig, lower.tail = FALSE))
}
away <- ave(mtcars$mpg, mtcars$cyl, FUN = function(x) abs(x - median(x)))  # Brown and Forsythe
sds <- tapply(mtcars$mpg, mtcars$cyl, sd)
linear <- lm(dist ~ speed, cars)
cubic <- summary(lm(resid(linear) ~ poly(cars$speed, 3)))
f <- cubic$fstatistic
fit <- lm(mpg ~ wt + hp + disp, mtcars)
V <- vcov(fit)[-1, -1]
vif <- sapply(c("wt", "hp", "disp"), function(name) {
  others <- setdiff(c("wt", "hp", "disp"), name)
  1 / (1 - summary(lm(reformulate(others, name), mtcars))$r.squared)
})
show <- function(x) paste0("[", paste(sprintf("%.10g", x), collapse = ", "), "]")
cat("{\n")
cat('"mpg": ', show(mtcars$mpg), ",\n", '"cyl": ', show(mtcars$cyl), ",\n", sep = "")
cat('"ozone": ', show(na.omit(airquality$Ozone)), ",\n", sep = "")
cat('"mpg_normal": ', show(of(mtcars$mpg)), ",\n", sep = "")
cat('"ozone_normal": ', show(of(as.numeric(na.omit(airquality$Ozone)))), ",\n", sep = "")
cat('"mpg_spread": ', show(c(max(sds) / min(sds), anova(lm(away ~ factor(mtcars$cyl)))[1, 5])), ",\n", sep = "")
cat('"speed": ', show(cars$speed), ",\n", '"left": ', show(resid(linear)), ",\n", sep = "")
cat('"bend": ', show(c(cubic$r.squared, pf(f[1], f[2], f[3], lower.tail = FALSE))), ",\n", sep = "")
cat('"covariance": [', paste(apply(V, 1, show), collapse = ", "), "],\n", sep = "")
cat('"vif": ', show(vif), "\n}\n", sep = "")
