# Writes term_tests.json: anova(type = 3) of lmerTest; run from this folder.
source("../common.R")
suppressPackageStartupMessages(library(nlme))

# Denominator df of both kinds, and F: that of Kenward and Roger is scaled.
tests <- function(formula, data, reml = TRUE) {
  fit <- fit_best(formula, data, reml)$fit
  table_of <- function(ddf) {
    found <- anova(fit, type = 3, ddf = ddf)
    list(
      term = I(rownames(found)), F = I(found[["F value"]]), df_num = I(found$NumDF),
      df_den = I(found$DenDF), p_value = I(found[["Pr(>F)"]])
    )
  }
  out <- list(satterthwaite = table_of("Satterthwaite"))
  if (reml) out[["kenward-roger"]] <- table_of("Kenward-Roger")
  out
}

oats <- as.data.frame(Oats)[-c(1, 2, 9, 14, 20, 21, 40, 55, 56), ]
oats$Variety <- factor(as.character(oats$Variety))
oats$Block <- factor(as.character(oats$Block))
oats$n <- factor(oats$nitro)
orthodont <- as.data.frame(Orthodont)
orthodont$Sex <- factor(as.character(orthodont$Sex))
orthodont$Subject <- factor(as.character(orthodont$Subject))
exam <- mlmRev::Exam
exam$schgend <- factor(as.character(exam$schgend))
exam$sex <- factor(as.character(exam$sex))
exam$vr <- factor(as.character(exam$vr))
exam$school <- factor(as.character(exam$school))

found <- list(
  factors = tests(yield ~ Variety * n + (1 | Block), oats),
  no_intercept = tests(yield ~ 0 + Variety + nitro + (1 | Block), oats),
  slopes = tests(distance ~ age * Sex + (1 | Subject), orthodont),
  quadratic = tests(distance ~ age + I(age^2) * Sex + (1 | Subject), orthodont),
  three = tests(
    normexam ~ standLRT * schgend + sex * vr + standLRT:sex + (1 + standLRT | school), exam,
    FALSE
  ),
  threefold = tests(normexam ~ standLRT * vr * sex + (1 | school), exam, FALSE)
)
writeLines(jsonlite::toJSON(found, auto_unbox = TRUE, digits = NA, pretty = TRUE), "term_tests.json")
