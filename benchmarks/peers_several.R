# Worker of fit_several.py: loads a data set, then fits it with lme4 once per line of its input.
suppressPackageStartupMessages(library(lme4))

folder <- commandArgs(TRUE)[1]
meta <- jsonlite::fromJSON(file.path(folder, "meta.json"))
model <- as.formula(meta$formula)
frame <- lapply(meta$numbers, function(name) {
  readBin(file.path(folder, paste0(name, ".bin")), "double", meta$rows)
})
names(frame) <- meta$numbers
for (name in meta$factors) {
  codes <- readBin(file.path(folder, paste0(name, ".bin")), "integer", meta$rows, size = 4)
  frame[[name]] <- factor(codes)
}
frame <- as.data.frame(frame)

cat(sprintf(
  '{"version": "%s (R %s.%s, %s)"}\n', packageVersion("lme4"), R.version$major, R.version$minor,
  basename(dirname(normalizePath(extSoftVersion()[["BLAS"]])))
))
flush(stdout())

control <- lmerControl(calc.derivs = FALSE)
commands <- file("stdin", "r")
cpu <- function() sum(proc.time()[c("user.self", "sys.self")])
while (length(readLines(commands, 1)) == 1) {
  fit <- NULL
  invisible(gc())
  start <- cpu()
  fit <- suppressMessages(lmer(model, frame, REML = TRUE, control = control))
  everything <- list(vcov(fit), VarCorr(fit), ranef(fit, condVar = FALSE))
  cat(sprintf(
    '{"seconds": {"all": %.9g}, "log_likelihood": %.15g, "converged": %s}\n', cpu() - start,
    as.numeric(logLik(fit)), if (fit@optinfo$conv$opt == 0) "true" else "false"
  ))
  flush(stdout())
}
