# Shared by the cases: read the csv.gz beside the script, fit, write <id>.json.
suppressPackageStartupMessages({library(nlme); library(numDeriv); library(jsonlite)})
rd <- function(id, levels = list(), factors = character()) {
  LEVELS <<- levels
  d <- read.csv(gzfile(paste0(id, ".csv.gz")), stringsAsFactors = FALSE, check.names = FALSE)
  for (v in names(levels)) d[[v]] <- factor(d[[v]], levels[[v]])
  for (v in factors) d[[v]] <- factor(d[[v]], unique(d[[v]]))
  d
}
out <- function(id, x) {
  x$session <- list(R = R.version.string, nlme = as.character(packageVersion("nlme")))
  writeLines(toJSON(c(list(id = id), x), auto_unbox = TRUE, digits = NA, pretty = TRUE, null = "null", na = "null"), paste0(id, ".json"))
  cat(sprintf("%-28s logLik %.6f\n", id, x$logLik))
}
fx <- function(b, V) { s <- sqrt(diag(as.matrix(V))); setNames(lapply(seq_along(b), function(k) list(estimate = b[[k]], std_error = s[[k]])), names(b)) }
meta <- function(title, source, structure, formula, method, levels, published, note) {
  list(title = title, source = source, structure = structure, formula = formula, method = method,
       levels = lapply(if (length(levels)) levels else get0("LEVELS"), I), published = published, note = note)
}
# Marginal Gaussian likelihood by brute force: y_i ~ N(X_i b, V_i(par)), checked against nlme, polished, with SEs of par.
marg_case <- function(id, title, source, structure, call_text, fixed, data, group, V, start, reml, levels = list(), nl = NULL, published = list(), note = "", par_note = list(), transforms = NULL) {
  d <- as.data.frame(data)[order(match(data[[group]], unique(data[[group]]))), ]
  X <- model.matrix(fixed, d); y <- model.response(model.frame(fixed, d)); stopifnot(length(y) == nrow(d))
  idx <- split(seq_len(nrow(d)), match(d[[group]], unique(d[[group]])))
  parts <- lapply(idx, function(i) list(d = as.list(d[i, , drop = FALSE]), X = X[i, , drop = FALSE], y = y[i])); nr <- lengths(idx)
  core <- function(par) {
    A <- 0; c1 <- 0; yy <- 0; ld <- 0
    for (b in parts) { Vi <- V(b$d, par); R <- tryCatch(chol(Vi), error = function(e) NULL); if (is.null(R)) return(NULL)
      Xi <- backsolve(R, b$X, transpose = TRUE); yi <- backsolve(R, b$y, transpose = TRUE)
      A <- A + crossprod(Xi); c1 <- c1 + crossprod(Xi, yi); yy <- yy + sum(yi^2); ld <- ld + 2 * sum(log(diag(R))) }
    b <- solve(A, c1); n <- length(y); p <- ncol(X); rss <- yy - sum(b * c1)
    ll <- -0.5 * ((n - if (reml) p else 0) * log(2 * pi) + ld + rss + if (reml) as.numeric(determinant(A)$modulus) else 0)
    list(ll = ll, b = setNames(drop(b), colnames(X)), Vb = solve(A))
  }
  f <- function(par) { r <- core(par); if (is.null(r)) 1e10 else -r$ll }
  ll0 <- -f(start)
  o <- nlminb(start, f, control = list(rel.tol = 1e-14, x.tol = 1e-12, eval.max = 300, iter.max = 150))
  for (k in 1:5) { g <- numDeriv::grad(f, o$par); H <- numDeriv::hessian(f, o$par); st <- tryCatch(solve(H, g), error = function(e) 0 * g); if (f(o$par - st) <= f(o$par) + 1e-12) o$par <- o$par - st; if (max(abs(st)) < 1e-9) break }
  H <- numDeriv::hessian(f, o$par); se <- sqrt(diag(solve(H))); r <- core(o$par)
  cat(sprintf("   nlme logLik %s; brute force at nlme's estimates %.8f; polished %.8f; max|grad| %.1e\n", if (is.null(nl)) "-" else sprintf("%.8f", as.numeric(logLik(nl))), ll0, r$ll, max(abs(numDeriv::grad(f, o$par)))))
  out(id, c(meta(title, source, structure, call_text, if (reml) "REML" else "ML", levels, published, note),
    list(engine = "nlme, polished by brute-force marginal likelihood", n_obs = length(y), n_groups = length(idx), fixed = fx(r$b, r$Vb),
      parameters = setNames(lapply(seq_along(o$par), function(k) list(estimate = o$par[[k]], std_error = se[[k]], meaning = par_note[[names(start)[k]]])), names(start)),
      logLik = r$ll, logLik_nlme = if (is.null(nl)) NULL else as.numeric(logLik(nl)),
      fixed_nlme = if (is.null(nl)) NULL else if (inherits(nl, "gls")) fx(coef(nl), vcov(nl)) else fx(fixef(nl), vcov(nl)))))
  invisible(r)
}
