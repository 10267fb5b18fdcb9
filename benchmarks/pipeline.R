# What the default run makes and R's packages offer, from the same rows: the fits of its models
# by lme4, tables of fixed effects, variances (profile intervals where config.yaml asks), EB effects
# with conditional errors, and predictions; figures by ggplot2 as SVG; likelihood-ratio tests; of each
# data set its description. No rankings, GEE, influence, covariance structures, pages or report.
#
#   Rscript benchmarks/pipeline.R FOLDER [wald]     (FOLDER has children.csv and london.csv)
#
# With "wald" no interval is profiled, which takes lme4 longer than all else.

suppressPackageStartupMessages({
  library(lme4)
  library(ggplot2)
})
given <- commandArgs(trailingOnly = TRUE)
folder <- given[1]
made <- file.path(folder, "made")
dir.create(made, showWarnings = FALSE)
theme_set(theme_minimal(base_size = 9))

children <- read.csv(file.path(folder, "children.csv"))
children <- subset(children, weight > 0)
children$girl <- as.numeric(children$gender == 2)
children$age_c <- children$age - 1
children$age_sp <- pmax(children$age - 1, 0)
children$visit <- findInterval(children$age, c(0.41, 0.95, 1.75), left.open = TRUE) + 1
children <- children[order(children$id, children$age), ]
children <- children[!duplicated(children[c("id", "visit")]), ]
children$id <- factor(children$id)

london <- read.csv(file.path(folder, "london.csv"))
london$gcse <- pmin(70 + 10 * london$normexam, 100)
london$lrt <- 10 * london$standLRT
london$lrt_groupc <- london$lrt - ave(london$lrt, london$school)
london$girl <- as.numeric(london$sex == "F")
london$school <- factor(london$school)
london$schgend <- factor(london$schgend, c("mixed", "boys", "girls"))
stopifnot(nrow(children) == 189, nrow(london) == 4059)

save_table <- function(table, ...) {
  write.csv(table, file.path(made, paste0(paste(..., sep = "_"), ".csv")), row.names = FALSE)
}
save_figure <- function(figure, ..., width = 6.2, height = 3.8) {
  path <- file.path(made, paste0(paste(..., sep = "_"), ".svg"))
  ggsave(path, figure, device = grDevices::svg, width = width, height = height)
}

explore <- function(data, name, x, y, cluster) {
  n <- table(data[[cluster]])
  save_table(data.frame(cluster = names(n), n = as.vector(n)), name, "clusters")
  save_table(do.call(rbind, lapply(split(data, data[[cluster]]), function(rows) {
    if (nrow(rows) < 3) return(NULL)
    b <- coef(lm(reformulate(x, y), rows))
    data.frame(cluster = rows[[cluster]][1], intercept = b[1], slope = b[2])
  })), name, "cluster_lines")
  save_figure(
    ggplot(data.frame(n = as.vector(n)), aes(n)) + geom_histogram(bins = 12), name, "cluster_sizes"
  )
  lines <- geom_smooth(method = "lm", formula = y ~ x, se = FALSE, linewidth = 0.4)
  base <- ggplot(data, aes(.data[[x]], .data[[y]], group = .data[[cluster]]))
  save_figure(base + lines, name, "cluster_lines")
  save_figure(base + geom_line(alpha = 0.3) + geom_point(size = 0.5), name, "trajectories")
}

describe <- function(fit, name, x, profile) {
  data <- model.frame(fit)
  y <- names(data)[1]
  cluster <- names(getME(fit, "flist"))
  b <- coef(summary(fit))
  error <- b[, "Std. Error"]
  z <- b[, "Estimate"] / error
  fixed <- data.frame(
    term = rownames(b), estimate = b[, "Estimate"], std_error = error, z = z,
    p = 2 * pnorm(-abs(z)), low = b[, "Estimate"] - 1.96 * error,
    high = b[, "Estimate"] + 1.96 * error
  )
  components <- as.data.frame(VarCorr(fit))
  if (profile) {
    limits <- suppressMessages(confint(fit, method = "profile"))
    rows <- nrow(limits) - nrow(b)
    components[seq_len(rows), c("low", "high")] <- limits[seq_len(rows), ]
    fixed[c("low", "high")] <- limits[-seq_len(rows), ]
  }
  save_table(fixed, name, "fixed_effects")
  save_table(components, name, "variance_components")
  save_table(cov2cor(as.matrix(vcov(fit))), name, "fixed_correlations")
  effects <- as.data.frame(ranef(fit, condVar = TRUE))
  save_table(effects, name, "cluster_effects")
  data$fitted <- fitted(fit)
  data$mean <- predict(fit, re.form = NA)
  data$standardised <- residuals(fit) / sigma(fit)
  save_table(data, name, "predictions")

  save_figure(
    ggplot(data, aes(fitted, standardised)) + geom_point(alpha = 0.5, size = 0.8) +
      geom_hline(yintercept = 0), name, "residuals_fitted"
  )
  qq <- function(table) ggplot(table, aes(sample = sample)) + geom_qq(size = 0.8) + geom_qq_line()
  save_figure(qq(data.frame(sample = data$standardised)), name, "residual_qq")
  save_figure(
    qq(data.frame(sample = effects$condval, term = effects$term)) + facet_wrap(~term, scales = "free"),
    name, "effects_qq"
  )
  save_figure(
    ggplot(effects, aes(condval, reorder(grp, condval), xmin = condval - 1.96 * condsd,
                        xmax = condval + 1.96 * condsd)) +
      geom_pointrange(size = 0.1) + facet_wrap(~term, scales = "free_x"),
    name, "caterpillar", height = 7
  )
  shown <- levels(data[[cluster]])[round(seq(1, nlevels(data[[cluster]]), length.out = 12))]
  some <- data[data[[cluster]] %in% shown, ]
  save_figure(
    ggplot(some, aes(.data[[x]], .data[[y]])) + geom_point(size = 0.6, colour = "grey50") +
      geom_smooth(method = "lm", formula = y ~ x, se = FALSE, colour = "orange") +
      geom_line(aes(y = fitted), colour = "blue") + geom_line(aes(y = mean), linetype = 2) +
      facet_wrap(reformulate(cluster)), name, "fitted_lines", height = 5
  )
  save_figure(
    ggplot(data, aes(.data[[x]], mean)) + geom_line() + labs(y = paste("Predicted mean:", y)),
    name, "means"
  )
}

explore(children, "children", "age", "weight", "id")
explore(london, "london", "lrt", "gcse", "school")

fits <- list(
  growth = lmer(
    weight ~ age_c + age_sp + girl + age_c:girl + age_sp:girl + (1 | id), children, REML = FALSE
  ),
  school_intercept = lmer(gcse ~ lrt_groupc + (1 | school), london),
  school_slope = lmer(gcse ~ lrt_groupc + (1 + lrt_groupc | school), london),
  school_value_added = lmer(gcse ~ lrt + (1 + lrt | school), london),
  school_slope_ml = lmer(gcse ~ lrt_groupc + (1 + lrt_groupc | school), london, REML = FALSE),
  school_gender_main = lmer(gcse ~ lrt_groupc + girl + (1 + lrt_groupc | school), london, REML = FALSE),
  school_type_main = lmer(gcse ~ lrt_groupc + schgend + (1 + lrt_groupc | school), london, REML = FALSE),
  school_gender = lmer(gcse ~ lrt_groupc * girl + (1 + lrt_groupc | school), london, REML = FALSE),
  school_type = lmer(gcse ~ lrt_groupc * schgend + (1 + lrt_groupc | school), london, REML = FALSE)
)
axes <- c(growth = "age_c", school_value_added = "lrt")
for (name in names(fits)) {
  x <- if (name %in% names(axes)) axes[[name]] else "lrt_groupc"
  describe(fits[[name]], name, x, profile = name == "school_gender" && length(given) == 1)
}
tests <- list(
  slope = anova(fits$school_intercept, fits$school_slope, refit = FALSE),
  gender = anova(fits$school_slope_ml, fits$school_gender_main),
  gender_reading = anova(fits$school_gender_main, fits$school_gender),
  type = anova(fits$school_slope_ml, fits$school_type_main),
  type_reading = anova(fits$school_type_main, fits$school_type)
)
for (name in names(tests)) save_table(as.data.frame(tests[[name]]), "comparison", name)
