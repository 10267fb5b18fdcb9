# Worker of fit.py: loads a data set, then fits it with lme4 once per line of its standard input,
# or, with "bootstrap" as its last argument, draws and refits 200 outcomes.
suppressPackageStartupMessages(library(lme4))

arguments <- commandArgs(TRUE)
folder <- arguments[1]
rows <- as.integer(arguments[2])
names <- strsplit(arguments[3], ",")[[1]]
model <- as.formula(arguments[4])
block <- arguments[5]

columns <- file(file.path(folder, "columns.bin"), "rb")
frame <- lapply(names, function(name) readBin(columns, "double", rows))
close(columns)
names(frame) <- names
frame$g <- readBin(file.path(folder, "cluster.bin"), "integer", rows, size = 4)
attr(frame, "row.names") <- .set_row_names(rows)
class(frame) <- "data.frame"

blas <- basename(dirname(normalizePath(extSoftVersion()[["BLAS"]])))
version <- sprintf(
  "%s (R %s.%s, %s)", packageVersion("lme4"), R.version$major, R.version$minor, blas
)
cat(sprintf('{"version": "%s"}\n', version))
flush(stdout())

# calc.derivs only feeds a check of convergence; its finite differences would count as fitting.
control <- lmerControl(calc.derivs = FALSE)
first <- if (block == "bootstrap") lmer(model, frame, REML = TRUE, control = control)

processor <- function() sum(proc.time()[c("user.self", "sys.self")])
seconds <- c()
wall <- c()
begin <- function() {
  invisible(gc())
  seconds <<- c()
  wall <<- c()
  clock <<- c(processor(), as.numeric(Sys.time()))
}
lap <- function(name) {
  seconds[name] <<- processor() - clock[1]
  wall[name] <<- as.numeric(Sys.time()) - clock[2]
}
written <- function(laps) paste(sprintf('"%s": %.9g', names(laps), laps), collapse = ", ")

commands <- file("stdin", "r")
while (length(readLines(commands, 1)) == 1) {
  fit <- everything <- NULL
  begin()
  if (block == "bootstrap") {
    drawn <- bootMer(first, function(fit) fixef(fit)[["x1"]], nsim = 200, seed = 20240229)
    lap("all")
    result <- sprintf(
      '"error": %.15g, "drawn": %d', sd(drawn$t, na.rm = TRUE), sum(!is.na(drawn$t))
    )
  } else {
    fit <- lmer(model, frame, REML = TRUE, control = control)
    lap("fit")
    # The time of the conditional variances grows with the square of the number of clusters.
    few <- ngrps(fit)[["g"]] <= 50000
    everything <- list(coef(summary(fit)), VarCorr(fit), ranef(fit, condVar = few))
    lap(if (few) "all" else "without conditional variances")
    result <- sprintf(
      '"log_likelihood": %.15g, "converged": %s',
      as.numeric(logLik(fit)),
      if (fit@optinfo$conv$opt == 0) "true" else "false"
    )
  }
  cat(sprintf('{"seconds": {%s}, "wall": {%s}, %s}\n', written(seconds), written(wall), result))
  flush(stdout())
}
