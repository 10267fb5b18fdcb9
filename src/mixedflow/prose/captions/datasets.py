"""Captions of a data set, and of what it shows before any model."""

from __future__ import annotations

from mixedflow.prose.captions.caption import Caption

CAPTIONS = {
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
}
