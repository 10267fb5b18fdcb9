# Worker of fuzz_residual.py: four searches of nlme for each data set named on its input.
suppressPackageStartupMessages(library(nlme))

# Two optimisers, each from nlme's own start and from that of the line's last two parts.
searches <- expand.grid(opt = c("nlminb", "optim"), start = 1:2, stringsAsFactors = FALSE)

best_of_four <- function(parts) {
  data <- read.csv(parts[1])
  for (name in c("g", "h", "v")) data[[name]] <- factor(data[[name]])
  fixed <- as.formula(parts[2])
  random <- if (parts[3] == "") NULL else as.formula(parts[3])
  vapply(seq_len(nrow(searches)), function(k) {
    opt <- searches$opt[k]
    # Evaluated anew each time: nlme's structures are changed where they are fitted.
    correlation <- eval(parse(text = parts[5 + 2 * (searches$start[k] - 1)]))
    weights <- eval(parse(text = parts[6 + 2 * (searches$start[k] - 1)]))
    tryCatch(suppressWarnings({
      fit <- if (is.null(random)) {
        gls(fixed, data,
          correlation = correlation, weights = weights, method = parts[4],
          control = glsControl(
            opt = opt, maxIter = 200, msMaxIter = 500, tolerance = 1e-9, msTol = 1e-12,
            apVar = FALSE, msVerbose = FALSE
          )
        )
      } else {
        lme(fixed, data, random,
          correlation = correlation, weights = weights, method = parts[4],
          control = lmeControl(
            opt = opt, maxIter = 200, msMaxIter = 500, tolerance = 1e-9, msTol = 1e-12,
            niterEM = 50, apVar = FALSE
          )
        )
      }
      as.numeric(logLik(fit))
    }), error = function(e) NA_real_)
  }, 0)
}

commands <- file("stdin", "r")
while (length(line <- readLines(commands, 1)) == 1) {
  parts <- strsplit(line, "\t", fixed = TRUE)[[1]]
  found <- best_of_four(parts)
  cat("found", sprintf("%.12g", found), "\n")
  flush(stdout())
}
