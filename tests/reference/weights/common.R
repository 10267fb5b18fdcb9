# Shared by the scripts of this folder: fits of lme4 to the last digit, and JSON.

suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
  library(pbkrtest)
  library(jsonlite)
})

# Newton's steps on lme4's own deviance from where its search ended, which stops at 1e-7 or so.
polished <- function(formula, data, weights = NULL) {
  parts <- do.call(lFormula, list(formula, data, REML = TRUE, weights = weights))
  deviance <- do.call(mkLmerDevfun, parts)
  found <- optimizeLmer(deviance, optimizer = "bobyqa", control = list(rhoend = 1e-10))
  theta <- found$par
  for (k in 1:4) {
    theta <- theta - solve(numDeriv::hessian(deviance, theta), numDeriv::grad(deviance, theta))
  }
  found$par <- as.vector(theta)
  found$fval <- deviance(found$par)
  fit <- mkMerMod(environment(deviance), found, parts$reTrms, parts$fr)
  fit@call <- quote(lmer())
  fit
}

session <- function() {
  version <- function(name) as.character(packageVersion(name))
  packages <- c("lme4", "lmerTest", "pbkrtest", "nlme", "metafor", "metadat")
  c(list(R = R.version.string), sapply(packages, version, simplify = FALSE))
}

write_case <- function(name, case) {
  case$session <- session()
  text <- toJSON(case, digits = NA, auto_unbox = TRUE, dataframe = "columns", matrix = "rowmajor",
                 pretty = TRUE)
  writeLines(text, paste0(name, ".json"))
}
