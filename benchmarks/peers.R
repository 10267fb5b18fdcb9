# Worker of fit.py: loads a data set, then fits it with lme4 once per line of its standard input.
suppressPackageStartupMessages(library(lme4))

arguments <- commandArgs(TRUE)
folder <- arguments[1]
rows <- as.integer(arguments[2])
names <- strsplit(arguments[3], ",")[[1]]
model <- as.formula(arguments[4])

columns <- file(file.path(folder, "columns.bin"), "rb")
frame <- lapply(names, function(name) readBin(columns, "double", rows))
close(columns)
names(frame) <- names
frame$g <- readBin(file.path(folder, "cluster.bin"), "integer", rows, size = 4)
attr(frame, "row.names") <- .set_row_names(rows)
class(frame) <- "data.frame"

version <- sprintf("%s (R %s.%s)", packageVersion("lme4"), R.version$major, R.version$minor)
cat(sprintf('{"version": "%s"}\n', version))
flush(stdout())

# calc.derivs only feeds a check of convergence; its finite differences would count as fitting.
control <- lmerControl(calc.derivs = FALSE)
commands <- file("stdin", "r")
while (length(readLines(commands, 1)) == 1) {
  fit <- everything <- NULL
  invisible(gc())
  start <- Sys.time()
  fit <- lmer(model, frame, REML = TRUE, control = control)
  fitted <- Sys.time()
  laps <- sprintf('"fit": %.9g', as.numeric(difftime(fitted, start, units = "secs")))
  # The time of the conditional variances grows with the square of the number of clusters.
  if (ngrps(fit)[["g"]] <= 50000) {
    everything <- list(summary(fit)$vcov, VarCorr(fit), ranef(fit, condVar = TRUE))
    took <- as.numeric(difftime(Sys.time(), start, units = "secs"))
    laps <- sprintf('%s, "all": %.9g', laps, took)
  }
  cat(sprintf(
    '{"seconds": {%s}, "log_likelihood": %.15g, "converged": %s}\n',
    laps,
    as.numeric(logLik(fit)),
    if (fit@optinfo$conv$opt == 0) "true" else "false"
  ))
  flush(stdout())
}
