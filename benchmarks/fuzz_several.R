# Worker of fuzz_several.py: four searches of lme4 for each data set named on its input.
suppressPackageStartupMessages(library(lme4))

searches <- list(
  bobyqa = list("bobyqa", list(rhoend = 1e-10, maxfun = 2e4)),
  Nelder_Mead = list("Nelder_Mead", list(
    maxfun = 2e4, FtolAbs = 1e-12, FtolRel = 1e-15, XtolRel = 1e-11
  )),
  nloptwrap = list("nloptwrap", list(
    algorithm = "NLOPT_LN_BOBYQA", xtol_abs = 1e-11, ftol_abs = 1e-12, maxeval = 2e4
  )),
  another_start = list("bobyqa", list(rhoend = 1e-10, maxfun = 2e4))
)

best_of_four <- function(path, formula, reml) {
  data <- read.csv(path)
  vapply(names(searches), function(name) {
    control <- lmerControl(
      optimizer = searches[[name]][[1]], optCtrl = searches[[name]][[2]], calc.derivs = FALSE,
      check.conv.singular = "ignore", check.scaleX = "ignore", check.nobs.vs.nRE = "ignore",
      check.nobs.vs.rankZ = "ignore", check.nobs.vs.nlev = "ignore", check.nlev.gtr.1 = "ignore",
      check.nlev.gtreq.5 = "ignore"
    )
    fit <- function(start) {
      lmer(as.formula(formula), data, REML = reml, control = control, start = start)
    }
    tryCatch(suppressWarnings(suppressMessages({
      start <- NULL
      if (name == "another_start") {
        parsed <- lFormula(as.formula(formula), data, REML = reml, control = control)
        theta <- parsed$reTrms$theta
        start <- ifelse(theta == 1, 3, 0.3)
      }
      as.numeric(logLik(fit(start)))
    })), error = function(e) NA_real_)
  }, 0)
}

commands <- file("stdin", "r")
while (length(line <- readLines(commands, 1)) == 1) {
  parts <- strsplit(line, "\t", fixed = TRUE)[[1]]
  found <- best_of_four(parts[1], parts[2], parts[3] == "reml")
  cat("found", sprintf("%.12g", found), "\n")
  flush(stdout())
}
