# Writes fev.json: an MMRM of fev.csv.gz by dense covariance matrices, with the degrees of freedom of
# Satterthwaite and of Kenward and Roger (1997) by their definitions; run from this folder.
suppressPackageStartupMessages({
  library(nlme)
  library(numDeriv)
  library(jsonlite)
})

d <- read.csv(gzfile("fev.csv.gz"), na.strings = "")
d <- d[!is.na(d$FEV1), ]
for (name in c("AVISIT", "ARMCD", "RACE", "SEX")) d[[name]] <- factor(d[[name]])
d$visit <- as.integer(d$AVISIT)

# Sigma (4 x 4) from its lower triangle, column by column.
sigma_of <- function(theta) {
  S <- matrix(0, 4, 4)
  S[lower.tri(S, TRUE)] <- theta
  S + t(S) - diag(diag(S))
}

mmrm <- function(formula, L) {
  X <- model.matrix(formula, d)
  y <- d$FEV1
  rows <- split(seq_len(nrow(d)), d$USUBJID)
  sums <- function(S) {
    A <- 0
    c1 <- 0
    yy <- 0
    log_det <- 0
    for (i in rows) {
      R <- chol(S[d$visit[i], d$visit[i], drop = FALSE])
      Xi <- backsolve(R, X[i, , drop = FALSE], transpose = TRUE)
      yi <- backsolve(R, y[i], transpose = TRUE)
      A <- A + crossprod(Xi)
      c1 <- c1 + crossprod(Xi, yi)
      yy <- yy + sum(yi^2)
      log_det <- log_det + 2 * sum(log(diag(R)))
    }
    b <- drop(solve(A, c1))
    list(b = b, phi = solve(A), m2ll = (length(y) - ncol(X)) * log(2 * pi) + log_det + yy -
      sum(b * c1) + as.numeric(determinant(A)$modulus))
  }
  half <- function(theta) {
    S <- sigma_of(theta)
    if (min(eigen(S, TRUE, TRUE)$values) <= 0) return(1e10)
    0.5 * sums(S)$m2ll
  }
  start <- gls(
    formula, d, correlation = corSymm(form = ~ visit | USUBJID),
    weights = varIdent(form = ~ 1 | visit), control = glsControl(msMaxIter = 500, maxIter = 500)
  )
  whole <- names(which.max(table(d$USUBJID)))
  S <- unclass(getVarCov(start, individual = whole))
  theta <- S[lower.tri(S, TRUE)]
  theta <- nlminb(theta, half, control = list(rel.tol = 1e-15, x.tol = 1e-13, iter.max = 500, eval.max = 1000))$par
  for (k in 1:4) theta <- theta - solve(hessian(half, theta), grad(half, theta))
  S <- sigma_of(theta)
  found <- sums(S)
  phi <- found$phi
  k <- length(theta)
  D <- lapply(seq_len(k), function(a) sigma_of(as.numeric(seq_len(k) == a)))
  p <- ncol(X)
  P <- rep(list(matrix(0, p, p)), k)
  Q <- rep(list(rep(list(matrix(0, p, p)), k)), k)
  traces <- matrix(0, k, k)
  for (i in rows) {
    v <- d$visit[i]
    Vi <- solve(S[v, v, drop = FALSE])
    x <- X[i, , drop = FALSE]
    T <- lapply(D, function(one) Vi %*% one[v, v, drop = FALSE])
    for (a in seq_len(k)) {
      P[[a]] <- P[[a]] - t(x) %*% T[[a]] %*% Vi %*% x
      for (b in seq_len(k)) {
        Q[[a]][[b]] <- Q[[a]][[b]] + t(x) %*% T[[a]] %*% T[[b]] %*% Vi %*% x
        traces[a, b] <- traces[a, b] + sum(T[[a]] * t(T[[b]]))
      }
    }
  }
  tr <- function(M) sum(diag(M))
  # Observed information, as SAS and mmrm; and expected, as the paper and pbkrtest.
  expected <- 0.5 * outer(seq_len(k), seq_len(k), Vectorize(function(a, b) {
    traces[a, b] - 2 * tr(phi %*% Q[[a]][[b]]) + tr(phi %*% P[[a]] %*% phi %*% P[[b]])
  }))
  information <- list(observed = hessian(half, theta), expected = expected)
  gradient <- function(l) vapply(P, function(one) -drop(l %*% phi %*% one %*% phi %*% l), 0)
  estimate <- drop(L %*% found$b)
  out <- list(m2ll = found$m2ll, estimate = estimate, sigma = S)
  W <- solve(information$observed)
  v <- diag(L %*% phi %*% t(L))
  out$satterthwaite <- list(
    std_error = sqrt(v),
    df = 2 * v^2 / apply(L, 1, function(l) drop(gradient(l) %*% W %*% gradient(l)))
  )
  for (kind in names(information)) {
    W <- solve(information[[kind]])
    inner <- 0
    for (a in seq_len(k)) for (b in seq_len(k)) {
      inner <- inner + W[a, b] * (Q[[a]][[b]] - P[[a]] %*% phi %*% P[[b]])
    }
    adjusted <- phi + 2 * phi %*% inner %*% phi
    # Of one contrast A1 = A2, and Kenward and Roger's df are 2 / A2.
    df <- apply(L, 1, function(l) {
      theta_l <- outer(l, l) / drop(l %*% phi %*% l)
      t1 <- vapply(P, function(one) tr(theta_l %*% phi %*% one %*% phi), 0)
      2 / drop(t1 %*% W %*% t1)
    })
    out[[paste("kenward-roger", kind)]] <- list(std_error = sqrt(diag(L %*% adjusted %*% t(L))), df = df)
  }
  out
}

# Treatment alone (SAS has it), and the trial's model with means by arm and visit.
L <- rbind(PBO = c(1, 0), TRT = c(1, 1), difference = c(0, 1))
found <- list(arms = mmrm(FEV1 ~ ARMCD, L))
full <- FEV1 ~ RACE + SEX + ARMCD * AVISIT
grid <- expand.grid(
  RACE = levels(d$RACE), SEX = levels(d$SEX), AVISIT = levels(d$AVISIT), ARMCD = levels(d$ARMCD)
)
X <- model.matrix(full[-2], grid)
cell <- paste(grid$ARMCD, grid$AVISIT)
L <- t(vapply(unique(cell), function(one) colMeans(X[cell == one, ]), numeric(ncol(X))))
L <- rbind(L, L[5:8, ] - L[1:4, ])
found$visits <- mmrm(full, L)
found$visits$rows <- c(unique(cell), paste("TRT - PBO", levels(d$AVISIT)))
found$session <- list(R = R.version.string, nlme = as.character(packageVersion("nlme")))
writeLines(toJSON(found, auto_unbox = TRUE, digits = NA, pretty = TRUE), "fev.json")
print(str(found))
