# Writes means.json: marginal means, pairs and slopes by emmeans; run from this folder.
source("../common.R")
suppressPackageStartupMessages({
  library(emmeans)
  library(nlme)
})

rows <- function(found, adjust = "none") {
  shown <- as.data.frame(summary(found, infer = c(TRUE, TRUE), adjust = adjust))
  name <- intersect(c("emmean", "estimate", grep("trend$", names(shown), value = TRUE)), names(shown))
  limits <- if ("lower.CL" %in% names(shown)) c("lower.CL", "upper.CL") else c("asymp.LCL", "asymp.UCL")
  by <- setdiff(names(shown)[seq_len(match(name, names(shown)) - 1)], "contrast")
  keys <- lapply(shown[by], as.character)
  if ("contrast" %in% names(shown)) keys$contrast <- as.character(shown$contrast)
  c(keys, list(
    estimate = shown[[name]], std_error = shown$SE, df = shown$df,
    p_value = shown$p.value, conf_low = shown[[limits[1]]], conf_high = shown[[limits[2]]]
  ))
}

# One fit, means by it: `pairs` of emmeans::contrast, each with its adjustments.
means_of <- function(fit, df, specs, at = list(), var = NULL, pairs = NULL, adjust = "none", by = NULL, ...) {
  found <- if (is.null(var)) {
    emmeans(fit, specs, at = at, lmer.df = df, mode = df, ...)
  } else {
    # Forward differences: a short step, so that they are the slope to 1e-7.
    emtrends(fit, specs, var = var, at = at, lmer.df = df, mode = df, delta.var = 1e-6, ...)
  }
  out <- list(means = rows(found))
  if (!is.null(pairs)) {
    differences <- contrast(found, pairs, by = by, adjust = "none")
    out$pairs <- lapply(setNames(adjust, adjust), function(how) rows(differences, how))
  }
  out
}

lmer_fit <- function(formula, data, reml = TRUE) fit_best(formula, data, reml)$fit
all_adjustments <- c("none", "holm", "bonferroni", "tukey")
found <- list()

# One factor between clusters and a covariate.
orthodont <- as.data.frame(Orthodont)
orthodont$Sex <- factor(as.character(orthodont$Sex))
orthodont$Subject <- factor(as.character(orthodont$Subject))
fit <- lmer_fit(distance ~ age * Sex + (1 | Subject), orthodont)
for (df in c("kenward-roger", "satterthwaite", "asymptotic")) {
  found[[paste("orthodont", df)]] <- means_of(fit, df, "Sex", pairs = "pairwise")
}
found[["orthodont at"]] <- means_of(
  fit, "kenward-roger", c("Sex", "age"), at = list(age = c(8, 14)), pairs = "pairwise", by = "age"
)
found[["orthodont slopes"]] <- means_of(fit, "kenward-roger", "Sex", var = "age", pairs = "pairwise")
fit <- lmer_fit(distance ~ age + I(age^2) * Sex + (1 | Subject), orthodont)
found[["orthodont quadratic"]] <- means_of(
  fit, "satterthwaite", "Sex", at = list(age = 9), var = "age", pairs = "pairwise"
)

# Two factors and an interaction, nested grouping factors, unbalanced.
oats <- as.data.frame(Oats)[-c(1, 2, 9, 14, 20, 21, 40, 55, 56), ]
oats$Variety <- factor(as.character(oats$Variety))
oats$Block <- factor(as.character(oats$Block))
oats$dose <- factor(oats$nitro)
fit <- lmer_fit(yield ~ Variety * dose + (1 | Block / Variety), oats)
for (df in c("kenward-roger", "satterthwaite")) {
  found[[paste("oats", df)]] <- means_of(
    fit, df, c("Variety", "dose"), pairs = "pairwise", adjust = all_adjustments, by = "dose"
  )
}
found[["oats doses"]] <- means_of(
  fit, "kenward-roger", "dose", pairs = "pairwise", adjust = all_adjustments
)
found[["oats all"]] <- means_of(fit, "kenward-roger", c("Variety", "dose"))
found[["oats against"]] <- means_of(
  fit, "kenward-roger", c("Variety", "dose"), pairs = "trt.vs.ctrl1", by = "Variety",
  adjust = c("none", "holm")
)

# A covariate of two values, factors at both levels, no small-sample df.
exam <- as.data.frame(mlmRev::Exam)
exam$girl <- as.numeric(exam$sex == "F")
exam$schgend <- factor(as.character(exam$schgend))
fit <- lmer_fit(normexam ~ standLRT * schgend + girl + (1 | school), exam)
found[["exam"]] <- means_of(
  fit, "asymptotic", "schgend", pairs = "pairwise", adjust = all_adjustments
)
found[["exam slopes"]] <- means_of(fit, "asymptotic", "schgend", var = "standLRT")

# A marginal model.
fit <- gls(
  distance ~ age * Sex, orthodont, correlation = corCAR1(form = ~ age | Subject),
  control = glsControl(tolerance = 1e-12, msTol = 1e-14, msMaxIter = 1000, maxIter = 500)
)
found[["orthodont marginal"]] <- means_of(
  fit, "asymptotic", c("Sex", "age"), at = list(age = c(8, 14)), pairs = "pairwise", by = "age"
)

packages <- c("emmeans", "lme4", "lmerTest", "pbkrtest", "nlme", "mlmRev")
found$session <- list(
  R = R.version.string,
  packages = sapply(packages, function(v) as.character(packageVersion(v)), simplify = FALSE)
)
writeLines(jsonlite::toJSON(found, auto_unbox = TRUE, digits = NA, pretty = TRUE, na = "null"), "means.json")
