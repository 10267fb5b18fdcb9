"""What each table and figure is called and what to see in it: words alone, by the artifact's name.

The report prints them; the files below workflow/report, which Snakemake's own report prints, are
made from them (:func:`rst`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mixedflow.artifacts.registry import ARTIFACTS


class Caption(NamedTuple):
    """A heading, and a sentence or two that say what to look for.

    ``alt`` is what a figure shows, for those who do not see it; it follows a title and a colon.
    """

    title: str
    text: str
    alt: str = ""

    @property
    def anchor(self) -> str:
        """Where the glossary of the report has it."""
        return "-".join(re.findall(r"[a-z0-9]+", self.title.casefold()))


ALL = {
    # Of a data set.
    "data_card": Caption(
        "Data card",
        "Where the rows come from, how many each step of the preparation kept, and what every "
        "variable holds. A large loss at one step, or many missing values in one column, is worth "
        "a look before any model.",
    ),
    # Before any model.
    "nesting": Caption(
        "The grouping factors",
        "Nested factors: each bar is a cluster, as wide as it has rows, below the one that it lies "
        "within. Crossed factors: each cell with rows, the darker the more; a block by itself "
        "shares no cluster with the rest.",
        alt="the clusters of several grouping factors, nested and crossed",
    ),
    "levels": Caption(
        "Clusters by level",
        "How many clusters each grouping factor has, how many rows they have, and how many of them "
        "lie in one cluster of the next factor. A factor with few clusters tells little of its "
        "variance; one with a row or two a cluster is hard to tell from the residual.",
    ),
    "crossings": Caption(
        "Crossed factors",
        "How many combinations have rows, of how many there could be; clusters that moved have "
        "rows in more than one cluster of the other factor, and they alone tell the two factors "
        "apart. More than one part: no cluster links them.",
    ),
    "cluster_sizes": Caption(
        "Cluster sizes",
        "How many rows each cluster has. The effects of small clusters are known least and are "
        "shrunk most.",
        alt="cluster sizes",
    ),
    "clusters": Caption(
        "Clusters",
        "Each cluster's number of rows and raw mean, before any model.",
    ),
    "trajectories": Caption(
        "Observed trajectories",
        "One line a cluster over time. Lines that start apart call for a random intercept, lines "
        "that fan out for a random slope; a bend that all share belongs into the fixed part.",
        alt="trajectories",
    ),
    "examples": Caption(
        "Example clusters",
        "The rows of a few clusters with the least-squares line through each alone: how far two "
        "clusters differ, and how widely rows scatter about their own line. They have the same "
        "colours in the figures that follow.",
        alt="examples",
    ),
    "cluster_lines": Caption(
        "Every cluster's own line",
        "Least squares in each cluster alone, without the clusters too small for a line, or in "
        "which the covariate does not vary. A band of parallel lines speaks for a random "
        "intercept, crossing lines for a random slope; the steepest lines are often those of the "
        "smallest clusters.",
        alt="cluster lines",
    ),
    "intercepts_slopes": Caption(
        "Own slopes against own intercepts",
        "A trend in the cloud is what the covariance of intercept and slope will describe. The "
        "cloud is wider than the true effects are, because each point carries its own error; the "
        "errors of a cluster's intercept and slope are correlated, and make a trend of their own.",
        alt="intercepts slopes",
    ),
    "residual_correlation": Caption(
        "Residual correlation between visits",
        "Correlations of what the fixed trend leaves over. About equal off the diagonal: a random "
        "intercept describes them; falling with distance: a random slope or a serial correlation.",
    ),
    "residuals_over_time": Caption(
        "Residual variance, correlation and semivariogram over time",
        "What the fixed trend leaves over. A correlation that is level over the time apart is what "
        "a random intercept gives; one that falls, what a serial correlation or a random slope "
        "gives; a variance that changes over time, what a random slope or a variance that depends "
        "on time gives. The semivariogram is half the mean squared difference of two rows of a "
        "cluster: near 0 it shows what two rows at one time would not share, and, if the variance "
        "does not change, the gap between where it levels off and the dashed line (rows of "
        "different clusters) is what rows of a cluster share however far apart. Correlations are "
        "of residuals standardised by visit or bin of time; of more than a million pairs of rows a "
        "random million is used. Bins of few pairs scatter widely.",
        alt="residual variance over time, and correlation and semivariogram by time apart",
    ),
    "residual_scatter": Caption(
        "Residuals of visits against each other",
        "Each panel pairs two visits of the same clusters; above the diagonal their correlation. "
        "Narrow clouds mean that clusters keep their place; single far points can carry a whole "
        "correlation.",
        alt="residual scatter",
    ),
    "residual_acf": Caption(
        "Autocorrelation of residuals by lag",
        "The correlation of residuals so many visits apart. A level line fits a random intercept, "
        "a falling one does not. Long lags rest on few pairs.",
        alt="residual acf",
    ),
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
    # Of a ranking.
    "ranking": Caption(
        "Ranking",
        "Rank low, high: where the cluster's rank lies with posterior probability 95%. Rank set: "
        "the ranks that a test of all differences cannot rule out, for all clusters at once "
        "(simultaneous) or for one named beforehand (marginal), without any shrinkage. They answer "
        "different questions; the wider is the safer for publishing a league table. Surely: top or "
        "bottom where the simultaneous set lies among them; selected: the best and worst share "
        "with a bound on false selections. Reliability: the share of the variance of the cluster's "
        "own estimate that is not chance. Band: above or below the average with 95% confidence for "
        "all clusters at once, because a table invites to look at all; as expected where the two "
        "are not distinguishable.",
    ),
    "funnel": Caption(
        "Funnel plot",
        "Each cluster's own estimate, without shrinkage, against how precise it is. If clusters "
        "differed by chance alone, 95% and 99.8% of them would lie between the dashed limits "
        "around the average; between the drawn ones, if they differed by the usual spread between "
        "clusters too (additive overdispersion, from z scores whose extreme tenths are drawn in; "
        "Spiegelhalter 2005). Named are those outside 99.8% of the drawn limits, which are no "
        "ranks.",
        alt="own estimates against their precision, with limits around the average",
    ),
    "caterpillar": Caption(
        "Caterpillar plot",
        "Empirical-Bayes estimates, best first, with three bars for three questions. Dark: two "
        "clusters named beforehand differ if their dark bars do not overlap (Goldstein and Healy). "
        "Middle: this cluster, named beforehand, differs from the average if its bar excludes 0. "
        "Pale: the same for all clusters at once, so also for those picked by looking. All "
        "three take the variance components as known; with few clusters (20) the pale bars are "
        "then too short.",
        alt="empirical-Bayes estimates in order with three kinds of bars",
    ),
    "rank_intervals": Caption(
        "What is known of each rank",
        "The posterior interval trusts the model and its shrinkage; the confidence sets trust each "
        "cluster's own rows alone, for one cluster or for all at once. Long bars in the middle are "
        "what a league table of point estimates hides.",
        alt="intervals and confidence sets of the ranks",
    ),
    "league": Caption(
        "League table of probabilities",
        "Each row is a cluster, each column a rank: the darker, the more probable. A dark diagonal "
        "would be a league table; a broad smear is what the data give. At the right the "
        "probability of being among the best.",
        alt="probability of each rank by cluster",
    ),
    "pairs": Caption(
        "Which pairs can be told apart",
        "Clusters in order on both sides. Dark pairs differ with 95% confidence for all pairs at "
        "once; light blue ones only if they were the one pair named beforehand; grey ones cannot "
        "be told apart.",
        alt="which pairs of clusters can be told apart",
    ),
    "ranking_summary": Caption(
        "What the data can say",
        "How many pairs of clusters can be told apart, and how many clusters differ from the "
        "average.",
        alt="what the data can say about the order",
    ),
    "rankings": Caption(
        "Rankings side by side",
        "Ranks of each cluster by several criteria of the same model. Lines that cross between two "
        "columns change places; those that move most are named.",
        alt="ranks by several criteria side by side",
    ),
    "ranking_order": Caption(
        "How the order changes with the covariate",
        "Each cluster's line over the covariate, as deviation from the average line. Where two "
        "lines cross they change places, so that one order for all cases does not exist; the "
        "surest crossing is drawn in colour.",
        alt="values of the clusters over the covariate",
    ),
    "ranking_pairs": Caption(
        "Pairs of clusters",
        "For each pair the difference of the empirical-Bayes estimates with its standard error and "
        "the probability that the first is better; and the difference of the clusters' own "
        "estimates, by which pairs are told apart.",
    ),
    "ranking_probabilities": Caption(
        "Probability of each rank", "Two decimals; the draws behind them hold no more."
    ),
    "ranking_sensitivity": Caption(
        "Ranks with uncertain variances, and without shrinkage",
        "The posterior with the variance parameters taken as known, beside the one that counts "
        "their uncertainty (delta method), and the rank by the cluster's own estimate.",
    ),
    "ranking_swaps": Caption(
        "Pairs that change places",
        "Pairs in opposite orders at both ends of the middle 90% of the covariate, with the value "
        "at which they (first) meet and the posterior probability that the order at both ends is "
        "as estimated. Curves that cross and cross back are in one order at both ends, and are "
        "not listed.",
    ),
    # Of rankings by several models.
    "rank_moves": Caption(
        "How ranks move between models",
        "The same clusters ranked by their raw means and by each model of the data set. What moves "
        "a cluster is what a model takes into account: the first column answers how good the "
        "results are, a model with the intake how much was added to it.",
        alt="ranks by raw means and by each model",
    ),
    "rank_agreement": Caption(
        "Agreement of the orders",
        "For each two orders: the rank correlation, how many pairs of clusters change places, and "
        "the largest move.",
    ),
    # Of a family.
    "family": Caption(
        "A family of models",
        "The same fixed effect in many models, with 95% intervals that are not widened for their "
        "number; p-values are adjusted for all tests of the family. A member that could not be "
        "fitted says why, and takes no part in the adjustment.",
        alt="estimates and 95% intervals of all members",
    ),
    # Of the whole analysis.
    "comparisons": Caption(
        "Likelihood-ratio tests",
        "The null model against the larger one. A small p-value speaks for the larger; a variance "
        "at its boundary halves the reference distribution, and where that is unknown the test is "
        "conservative.",
    ),
    "structures": Caption(
        "Covariance structures",
        "One mean model under several covariance structures of the same rows. AIC, BIC and AICc "
        "compare all of them; a likelihood-ratio test is against the largest of those that are "
        "nested in a structure. An effect that moves little does not rest on which is right.",
    ),
    "structures_course": Caption(
        "Implied variance and correlation",
        "Points are what least-squares residuals say, by visit or time and by time apart; lines "
        "are what each fitted structure implies for the same rows. A line that keeps to one side "
        "of the points over a stretch of time speaks against that structure. Single points "
        "scatter, and rows that were missed can move them.",
        alt="what residuals say of variance and correlation over time, and what each fitted "
        "structure implies",
    ),
    "models": Caption(
        "Models side by side",
        "Each column is a model. A coefficient that changes little from column to column does not "
        "depend on what else the model holds; AIC and BIC compare columns of one method.",
    ),
    "report": Caption("Report", "The whole analysis on one page that needs no network."),
}

# What a model says in place of the usual caption, by what it lacks or has besides.
_MARGINAL = {
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
_STRUCTURED = {
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


def of_model(marginal: bool, structured: bool) -> dict[str, Caption]:
    """The captions of a marginal model, and of one with a residual structure."""
    return {**ALL, **(_STRUCTURED if structured else {}), **(_MARGINAL if marginal else {})}


def variants() -> dict[str, list[Caption]]:
    """Every caption by its artifact: the usual one, then those that some models have instead."""
    return {
        name: [caption, *(other[name] for other in (_STRUCTURED, _MARGINAL) if name in other)]
        for name, caption in ALL.items()
    }


# A table that the page alone has: of variance_components, what a residual structure adds.
_SCALES = {
    "corr": "A correlation is of the residuals of two rows of one cluster{given}, at the distance "
    "that is named.",
    "range": "Over the range the correlation of two rows falls to 37% (1/e).",
    "nugget": "The nugget is the share of the variance that no two rows share, however near.",
    "ratio": "Ratios are of variances.",
    "power": "A power is δ of a standard deviation that goes with |v| to the power δ.",
    "exponent": "An exponent is δ of a standard deviation that goes with exp(δ v).",
}


def of_residuals(scales: Iterable[str], marginal: bool) -> Caption:
    """That of the table whose rows have these scales."""
    given, found = "" if marginal else ", given the random effects", set(scales)
    told = [text.format(given=given) for scale, text in _SCALES.items() if scale in found]
    if found & (_SCALES.keys() - {"power", "exponent"}):
        told.append(
            "Wald intervals are symmetric on a scale without bounds, so they are not centred on "
            "the estimate."
        )
    return Caption("Residual structure", " ".join(told))


# What Snakemake's own report adds, by the wildcard of the jobs. Wildcards alone: in a module, the
# configuration is that of the workflow around it.
_OF = {
    "dataset": "\nData set ``{{ snakemake.wildcards.dataset }}``.\n",
    "model": "\nModel ``{{ snakemake.wildcards.model }}``.\n",
    "family": "\nFamily ``{{ snakemake.wildcards.family }}``.\n",
    "structures": "\nStructures ``{{ snakemake.wildcards.structures }}``.\n",
    "": "",
}
_WORKFLOW = """\
The analyses of data sets by linear mixed models. Start with the page under *Report*: it shows data,
models, comparisons and rankings together, and says what to be careful about.
"""


def rst() -> dict[str, str]:
    """Files of workflow/report by name: captions for Snakemake's own report."""
    files = {"workflow.rst": _WORKFLOW}
    for artifact in ARTIFACTS:
        if any(file.reported for file in artifact.files):
            tail = _OF[artifact.stage.unit]
            files[f"{artifact.name}.rst"] = f"{ALL[artifact.name].text}\n{tail}"
    return files


def write_rst(folder: Path) -> None:
    """Write the captions for Snakemake's own report into ``folder``."""
    for name, text in rst().items():
        (folder / name).write_text(text, encoding="utf-8")
