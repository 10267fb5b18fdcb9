"""Captions of a model's tables and figures, by the artifact's name."""

from __future__ import annotations

from mixedflow.prose.captions.caption import Caption

CAPTIONS = {
    # Of a model.
    "fixed_effects": Caption(
        "Fixed effects",
        "Standard errors from the estimated covariance of the rows. Without a column df, tests and "
        "intervals are from the normal distribution, else from Student's t with those degrees of "
        "freedom.",
    ),
    "variance_components": Caption(
        "Variance components",
        "How much clusters differ, and rows within them: as variances, and beside them as standard "
        "deviations, in the units of the outcome; of a pair, the covariance and the correlation. "
        "Wald intervals are symmetric on the log scale for standard deviations and on Fisher's z "
        "scale for correlations, so they are not centred on the estimate.",
    ),
    "contrasts": Caption(
        "Contrasts",
        "Combinations of the fixed effects that the configuration asks for; one with several "
        "expressions is a joint F test.",
    ),
    "marginal_means": Caption(
        "Marginal means",
        "What the fixed effects say of each level of a factor, all else being equal: other factors "
        "are averaged over with equal weights, whatever the rows had, and covariates are held; the "
        "table says which. Intervals are of each mean alone: two that overlap may still differ.",
        alt="marginal means with 95% intervals",
    ),
    "marginal_means_pairs": Caption(
        "Differences of marginal means",
        "The first level less the second. Adjusted p-values and intervals allow for the number of "
        "comparisons at one combination of the other factors; the intervals that go with Holm's "
        "p-values are Bonferroni's, which are a little wider.",
    ),
    "term_tests": Caption(
        "Tests of the terms",
        "Type III: one test a term, of its marginal hypothesis. A factor beside an interaction is "
        "tested by its means over the levels of the other factors, each level counting alike, and "
        "not at their reference; beside an interaction with a covariate, where that covariate is "
        "0. Wald chi-squared, or F where the model has degrees of freedom.",
    ),
    "fixed_correlations": Caption(
        "Correlation of the fixed effects",
        "How the estimates of each two coefficients go together. Two that are nearly -1 or 1 "
        "correlated are known together and not apart: centre the covariate, or mind that each "
        "standard error is about that term with the other held.",
    ),
    "alternatives": Caption(
        "The fixed effects by other standard errors",
        "Beside the model's own: cluster-robust ones, which do not trust its covariances (CR0, and "
        "CR1 with its factor for few clusters), and, if asked for, generalised estimating "
        "equations. Where they differ much, the random part deserves a second look.",
    ),
    "agreement": Caption(
        "A random intercept, a marginal model and GEE",
        "The same mean by each, against the random intercept: how many of its standard errors an "
        "estimate is apart, and ratios of standard errors, model-based and robust. If the mean is "
        "right and rows are missing by chance alone, all estimate the same coefficients, and each "
        "has the right robust errors. Where rows are missing by what was seen before, a likelihood "
        "whose covariance is right still is; GEE with a wrong working correlation is not.",
    ),
    "bootstrap": Caption(
        "Parametric bootstrap",
        "How the estimates vary over refits to data simulated from the model: bias, standard "
        "error, percentile and basic intervals.",
    ),
    "effects_diagnostic": Caption(
        "Cluster effects against their own spread",
        "Each cluster's effects over their diagnostic standard error, and the distance of all of "
        "them from 0. Values beyond 3 are clusters that the normal distribution does not expect.",
    ),
    "influence": Caption(
        "Influence of single clusters",
        "What would change without the cluster: Cook's distance for all fixed effects together, "
        "changes of each in standard errors, and of the log standard deviations; one step from the "
        "fit, not a refit.",
        alt="Cook's distance of the clusters with most influence on the fixed effects",
    ),
    "checks": Caption(
        "Verdicts on the assumptions",
        "A row a check: its value and limit, and a p-value where there is one; an assumption fails "
        "(departs) where the value is beyond the limit and p is not above 0.01. Normality: "
        "correlation with normal quantiles, p-value of Shapiro and Francia. Spread: largest SD of "
        "thirds of the fitted values or of groups over the smallest, p-value of Brown and "
        "Forsythe; of clusters, the SD of their log SDs beyond chance. Form: the share of the "
        "residual variance that a cubic explains. Order: correlation of neighbours beyond that of "
        "any two rows of a cluster. Influence: the largest change in standard errors. "
        "Collinearity: the largest variance inflation of a column in no product.",
    ),
    "residual_qq": Caption(
        "Residuals against the normal distribution",
        "Standardised residuals in order. Points off the line at the ends are rows that the normal "
        "distribution does not expect; a bend of the whole is skewness.",
        alt="ordered standardised residuals against normal quantiles",
    ),
    "residuals_fitted": Caption(
        "Residuals against fitted values",
        "The middle and the spread should be level: a bend calls for another term, a fan for "
        "another scale of the outcome.",
        alt="standardised residuals against fitted values, with their running middle",
    ),
    "residual_structure": Caption(
        "What the model implies over time, and what its residuals show",
        "Points: variance, correlation and semivariogram of the outcome less the fixed part; line: "
        "what the random effects and the residual structure imply for the same rows and pairs of "
        "rows. A line that runs past the points to one side over a stretch of time, where bins "
        "have many pairs, speaks against the structure. Single points scatter, and rows that were "
        "missed can move them.",
        alt="residual variance and correlation over time, with what the model implies",
    ),
    "normalised_acf": Caption(
        "Correlation of residuals before and after the structure",
        "Residuals of rows one, two or more places apart in a cluster. Before: over their standard "
        "deviations; after: freed of the correlation that the model estimates. The band holds 19 "
        "of 20 correlations of independent residuals: where bars after the structure leave it at "
        "short lags, another structure may fit better.",
        alt="correlation of residuals by lag, before the residual structure and after it",
    ),
    "effects_qq": Caption(
        "Cluster effects against the normal distribution",
        "Each random effect over its diagnostic standard error, in order. A cluster far off the "
        "line is an outlier among clusters, and its shrinkage too strong.",
        alt="ordered standardised effects of the clusters against normal quantiles",
    ),
    "cluster_effects": Caption(
        "Empirical-Bayes effects by cluster",
        "Each cluster's estimated deviation beside its own least-squares one, with the standard "
        "error given the fixed effects (conditional), the one that counts their error too "
        "(comparative), and that of the estimate itself (diagnostic).",
    ),
    "predictions": Caption(
        "Predictions by row",
        "Observed value, population mean with its 95% interval, the cluster's own prediction, and "
        "what is left over.",
    ),
    "curves": Caption(
        "Curves behind the figures",
        "Predicted population means, and the own, empirical-Bayes and population lines of a panel "
        "of clusters.",
    ),
    "variance_function": Caption(
        "Variance by covariate",
        "The variance between clusters and in total over the range of the covariate, and the "
        "share that lies between clusters (VPC).",
    ),
    "shrinkage": Caption(
        "Shrinkage of cluster effects",
        "From each cluster's own least-squares estimate to its empirical-Bayes one; on the dashed "
        "line they are the same, and areas are the clusters' rows. The smaller the cluster and the "
        "farther out its own estimate, the longer the way towards the average.",
        alt="empirical-Bayes estimates against each cluster's own least-squares estimates",
    ),
    "fitted_lines": Caption(
        "Fitted lines of single clusters",
        "Points of each cluster with its own least-squares line, its empirical-Bayes line and the "
        "population's. The empirical-Bayes line lies between the other two, nearer to the "
        "population's where a cluster has little to say. Other covariates are at the cluster's own "
        "mean or most frequent level. The panel has the examples of the configuration, the "
        "smallest clusters, and those with the most extreme effects: they shrink most.",
        alt="own, empirical-Bayes and population lines of a panel of clusters",
    ),
    "means": Caption(
        "Predicted means",
        "The population mean over the covariate with its 95% confidence band. Bands of groups "
        "apart from each other point to a difference; bands that overlap do not rule one out. "
        "Other covariates are at their mean, other factors at their reference.",
        alt="predicted population means with 95% confidence bands",
    ),
    "variance": Caption(
        "Total residual variance",
        "What the fixed part leaves over, between clusters and within them. Flat for a random "
        "intercept; with a random slope a parabola in the covariate, and the share between "
        "clusters (VPC) changes with it. Other covariates with random effects are at their mean, "
        "factors at their reference.",
        alt="residual variance within and between clusters against the covariate",
    ),
}

# What a model says in place of the usual caption, by what it lacks or has besides.
MARGINAL = {
    "variance_components": Caption(
        "Variances",
        "How widely rows scatter about their expected values: as variances, and beside them as "
        "standard deviations, in the units of the outcome; of two visits, the covariance and the "
        "correlation. Wald intervals are symmetric on the log scale for standard deviations and on "
        "Fisher's z scale for correlations, so they are not centred on the estimate.",
    ),
    "variance": Caption(
        "Residual variance",
        "What the fixed part leaves over, with its 95% confidence band: level unless the model "
        "lets it depend on the covariate.",
    ),
    "alternatives": Caption(
        "The fixed effects by other standard errors",
        "Beside the model's own: cluster-robust ones, which do not trust its covariances (CR0, and "
        "CR1 with its factor for few clusters), and, if asked for, generalised estimating "
        "equations. Where they differ much, another structure of the residuals deserves a look.",
    ),
}
STRUCTURED = {
    "variance": Caption(
        "Total residual variance",
        "What the fixed part leaves over, between clusters and within them. The first changes with "
        "the covariate if its slope is random, the second if the residual variance depends on it; "
        "on anything else it is the mean over the rows.",
    ),
    "residual_qq": Caption(
        "Residuals against the normal distribution",
        "Standardised residuals in order, each freed of its correlation with those before it. "
        "Points off the line at the ends are rows that the normal distribution does not expect; a "
        "bend of the whole is skewness.",
    ),
}
