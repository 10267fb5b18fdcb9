"""Captions of a ranking, and of how ranks move between models."""

from __future__ import annotations

from mixedflow.prose.captions.caption import Caption

CAPTIONS = {
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
        "all clusters at once, because a table invites to look at all; else not distinguishable "
        "from it.",
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
}
