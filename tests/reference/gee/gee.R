# Writes gee.json: GEE of Orthodont whole, with dropouts and with gaps, by R's gee and geepack; run
# from this folder.
suppressPackageStartupMessages({
  library(gee)
  library(geepack)
  library(jsonlite)
})
d <- as.data.frame(nlme::Orthodont)
d <- data.frame(
  id = as.integer(factor(as.character(d$Subject))), visit = (d$age - 6) / 2, age = d$age,
  girl = as.numeric(d$Sex == "Female"), distance = d$distance
)
d <- d[order(d$id, d$visit), ]
mean_model <- distance ~ age * girl
data <- list(
  whole = d,
  dropout = d[d$visit <= c(3, 4, 4, 2, 4, 4, 4, 4)[d$id %% 8 + 1], ],
  gaps = d[(d$id + 4 * d$visit) %% 11 != 0, ]
)

by_gee <- function(frame, corstr) {
  invisible(capture.output(
    found <- gee(mean_model, id = id, data = frame, corstr = corstr, Mv = 1, tol = 1e-12, maxiter = 200)
  ))
  R <- found$working.correlation
  list(
    by = "gee", estimate = unname(coef(found)), robust = unname(sqrt(diag(found$robust.variance))),
    naive = unname(sqrt(diag(found$naive.variance))),
    alpha = if (corstr == "unstructured") R else R[1, 2]
  )
}

by_geepack <- function(frame, corstr, zcor) {
  found <- geeglm(
    mean_model, id = id, data = frame, corstr = corstr, zcor = zcor,
    control = geese.control(epsilon = 1e-14, maxit = 500)
  )
  list(
    by = "geepack", estimate = unname(coef(found)), robust = unname(sqrt(diag(vcov(found)))),
    alpha = unname(found$geese$alpha)
  )
}

# A correlation for each two visits; corstr = "unstructured" crashes geepack 1.3.9 where visits are
# missed in between.
each <- function(frame) {
  genZcor(clusz = as.vector(table(frame$id)), waves = frame$visit, corstrv = 4)
}

# Correlations 0.6^d at d visits, whatever visits are missed.
fixed <- function(frame) {
  R <- 0.6^abs(outer(1:4, 1:4, "-"))
  fixed2Zcor(R, id = frame$id, waves = frame$visit)
}

found <- lapply(data, function(frame) {
  list(
    rows = nrow(frame),
    independence = by_gee(frame, "independence"),
    exchangeable = by_gee(frame, "exchangeable"),
    unstructured = by_geepack(frame, "userdefined", each(frame)),
    fixed = by_geepack(frame, "fixed", fixed(frame))
  )
})
# gee takes neighbouring rows for neighbouring visits, which they are not where there are gaps, and
# weights clusters of different sizes in a way of its own.
found$whole$ar1 <- by_gee(data$whole, "AR-M")
found$whole$unstructured_gee <- by_gee(data$whole, "unstructured")
found$made_with <- list(
  R = as.character(getRversion()), gee = as.character(packageVersion("gee")),
  geepack = as.character(packageVersion("geepack"))
)
write(toJSON(found, digits = NA, auto_unbox = TRUE, pretty = 2), "gee.json")
