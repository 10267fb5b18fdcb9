# Worker of fit_residual.py: loads a data set, then fits it with nlme once per line of its input.
suppressPackageStartupMessages(library(nlme))

folder <- commandArgs(TRUE)[1]
meta <- jsonlite::fromJSON(file.path(folder, "meta.json"))
frame <- lapply(meta$numbers, function(name) {
  readBin(file.path(folder, paste0(name, ".bin")), "double", meta$rows)
})
names(frame) <- meta$numbers
for (name in meta$factors) {
  codes <- readBin(file.path(folder, paste0(name, ".bin")), "integer", meta$rows, size = 4)
  frame[[name]] <- factor(codes)
}
frame <- as.data.frame(frame)
call <- parse(text = meta$nlme)

cat(sprintf(
  '{"version": "%s (R %s.%s, %s)"}\n', packageVersion("nlme"), R.version$major, R.version$minor,
  basename(dirname(normalizePath(extSoftVersion()[["BLAS"]])))
))
flush(stdout())

commands <- file("stdin", "r")
cpu <- function() sum(proc.time()[c("user.self", "sys.self")])
while (length(readLines(commands, 1)) == 1) {
  fit <- NULL
  invisible(gc())
  # R's clock has milliseconds: small data are fitted several times.
  start <- cpu()
  for (k in seq_len(meta$times)) {
    fit <- eval(call)
    everything <- list(coef(summary(fit)), fit$sigma)
  }
  cat(sprintf(
    '{"seconds": {"all": %.9g}, "log_likelihood": %.15g, "converged": true}\n',
    (cpu() - start) / meta$times, as.numeric(logLik(fit))
  ))
  flush(stdout())
}
