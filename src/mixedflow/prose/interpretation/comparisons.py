"""Sentences about likelihood-ratio tests: against the linear model, and of two models."""

from __future__ import annotations

from markupsafe import Markup

from mixedflow.artifacts import formatting
from mixedflow.artifacts.fit_report import LikelihoodRatio, ModelReport
from mixedflow.prose.coding import Row
from mixedflow.prose.covariates import Variables
from mixedflow.prose.markup import conjoined, p_value
from mixedflow.prose.wording import number, sentences, strength


def against_linear(fit: ModelReport, data: Variables) -> Markup:
    """The likelihood-ratio test of the random effects altogether, and of a residual structure."""
    lr = fit.lr_vs_linear
    if lr is None:
        return Markup(
            "Against the linear model without random effects there is no test: with sampling "
            "weights the likelihood is a pseudo-likelihood."
        )
    if fit.residual:
        return _against_independence(fit, lr)
    said = _evidence(
        lr.p_value,
        "that clusters differ beyond what the covariates explain",
        "little evidence that clusters differ beyond what the covariates explain; the data do not "
        "rule it out",
    )
    method = "REML" if fit.method == "reml" else "ML"
    if lr.df == 1:
        how = (
            "The p-value allows for a variance that cannot lie below 0: half of the chi-squared "
            "distribution with 1 degree of freedom stands at 0."
        )
    else:
        how = (
            f"The p-value, from chi-squared with {lr.df} degrees of freedom, is conservative: "
            "variances cannot lie below 0, so that the right one is smaller."
        )
    names = [group.name for group in fit.groups]
    if len(names) == 1:
        names = [data.cluster or names[0]]
    cluster = conjoined(Markup("<code>{}</code>").format(name) for name in names)
    return Markup(
        "Against the linear model without random effects of {}, the likelihood-ratio statistic "
        "({}) is {} ({}): {}. {}"
    ).format(cluster, method, number(lr.statistic), p_value(lr.p_value), said, how)


def _against_independence(fit: ModelReport, lr: LikelihoodRatio) -> Markup:
    said = _evidence(
        lr.p_value,
        "that rows of a cluster go together, or differ in how they scatter, beyond what the "
        "covariates explain",
        "little evidence for it; the data do not rule it out",
    )
    method = "REML" if fit.method == "reml" else "ML"
    if "chibar" in lr.distribution:
        how = (
            "The p-value allows for a parameter that cannot lie below 0: half of the chi-squared "
            "distribution with 1 degree of freedom stands at 0."
        )
    elif "conservative" in lr.distribution:
        how = (
            f"The p-value, from chi-squared with {lr.df} degrees of freedom, is conservative: some "
            "of the parameters cannot lie below 0, so that the right one is smaller."
        )
    else:
        how = f"The p-value is from chi-squared with {lr.df} degrees of freedom."
        how = how.replace(" 1 degrees", " 1 degree")
    return Markup(
        "Against the linear model whose rows are independent with one variance, the "
        "likelihood-ratio statistic ({}) is {} ({}): {}. {}"
    ).format(method, number(lr.statistic), p_value(lr.p_value), said, how)


def comparison(row: Row, structured: bool = False) -> Markup:
    """A row of comparisons.csv: whether the larger model's further parameters are needed.

    ``structured``: that model has a residual structure, by which it may differ from the other.
    """
    null = Markup("<code>{}</code>").format(row["null"])
    if row.get("warning"):
        return Markup("Not interpreted against {}: {}.").format(null, row["warning"])
    p, distribution, df = row["p_value"], str(row["distribution"]), int(row["df"])
    mixture, conservative = distribution.startswith("half"), "conservative" in distribution
    method = {"reml": "REML", "ml": "ML"}.get(str(row["method"]), str(row["method"]))
    more = f"at least one of its {df} further parameters" if df > 1 else "its further parameter"
    said = _evidence(
        p,
        f"for {more}",
        f"the data leave open whether {more} is needed, which is no proof of the smaller model",
    )
    bounded = "a parameter" if structured else "a variance"  # or a range, a nugget
    if mixture:
        how = (
            f"The p-value allows for {bounded} that cannot lie below 0: it is the mean of those of "
            f"chi-squared with {df - 1} and {df} degrees of freedom."
        )
    elif "approximate" in distribution:
        how = (
            f"The p-value, from chi-squared with {df} degrees of freedom, is a rough one: without "
            "correlation its range means nothing. A parametric bootstrap gives a right one."
        )
    elif conservative:
        how = (
            f"The p-value is conservative: {bounded} cannot lie below 0, so that the right one is "
            "smaller."
        )
    elif structured:
        how = f"The p-value is from chi-squared, degrees of freedom: {df}."
    else:
        how = "The models differ in their fixed parts, which ML fits can compare."
    if method == "REML":
        how += " REML fits can be compared here because their fixed parts are the same."
    text = Markup("Against {}, the likelihood-ratio statistic ({}) is {} ({}): {}. {}").format(
        null, method, number(row["statistic"]), p_value(p), said, how
    )
    simulated = row.get("p_bootstrap")
    if simulated is None:
        return text
    draws = formatting.count(row.get("draws"))
    return sentences(
        text,
        f"By a parametric bootstrap of {draws} draws, {p_value(simulated)}.",
    )


def _evidence(p: float, found: str, open_question: str) -> str:
    return f"{found_out} {found}" if (found_out := strength(p)) else open_question
