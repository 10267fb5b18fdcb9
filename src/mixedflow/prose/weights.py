"""What weights of rows are called: in the terminal, in equations, and in the methods of a paper."""

from __future__ import annotations

from collections.abc import Sequence

from mixedflow.artifacts.fit_report import FitReport, Heterogeneity, ModelReport
from mixedflow.artifacts.formatting import number
from mixedflow.language.weights import PRECISION, SAMPLING, VARIANCE, read
from mixedflow.prose.mathml import power, sub, symbol

Phrase = tuple[str, tuple[str, ...]]  # with {} for each reference


def written(fit: FitReport) -> str:
    """The weights as a configuration has them; empty without any."""
    if not fit.weights:
        return ""
    return f"weights: {{{', '.join(f'{key}: {value}' for key, value in fit.weights.items())}}}"


def note(fit: FitReport) -> str:
    """What the weights make of the model's numbers, in a sentence; empty without any."""
    if not fit.weights:
        return ""
    return _NOTES[read(fit.weights, "weights").kind]


_NOTES = {
    PRECISION: (
        "The residual variance is that of a row of weight 1: a row of weight w has it over w."
    ),
    VARIANCE: (
        "The residual variances are the known sampling variances of the rows, and none is "
        "estimated: the residual variance of the tables is 1, by which they are multiplied."
    ),
    SAMPLING: (
        "Rows and clusters count by their sampling weights: the log-likelihood is a "
        "pseudo-likelihood, which no test or AIC may be taken from, and standard errors are robust."
    ),
}


def heterogeneity(found: Heterogeneity) -> list[str]:
    """What a meta-analysis prints below its estimates, in lines of text."""
    p_value = f"{found.q_p:.4f}" if found.q_p >= 1e-4 else "< 0.0001"
    lines = [
        f"tau2 = {number(found.tau2)}   I2 = {100 * found.i2:.1f}% "
        f"(typical sampling variance {number(found.typical_variance)})",
        f"Q({found.q_df}) = {found.q:.2f}   Prob = {p_value}",
    ]
    if found.predicted_low is not None and found.predicted_high is not None:
        ends = f"{number(found.predicted_low)} to {number(found.predicted_high)}"
        lines.append(f"95% of true effects: {ends} (prediction interval)")
    return lines


def spread(fit: FitReport, row: str, s2: str) -> str:
    """The variance of a residual in MathML; ``s2`` where no weight changes it."""
    if not fit.weights:
        return s2
    kind = read(fit.weights, "weights").kind
    if kind == VARIANCE:
        return sub(symbol("v"), row)
    if kind == PRECISION:
        return f"<mrow>{s2}<mo>/</mo>{sub(symbol('w'), row)}</mrow>"
    return s2


def symbolic(fit: FitReport, row: str) -> str:
    return spread(fit, row, power(symbol("σ"), "2"))


def phrase(fit: FitReport) -> Phrase | None:
    """The weights in the words of a methods section, and what these cite."""
    if not fit.weights:
        return None
    found = read(fit.weights, "weights")
    text, keys = _PHRASES[found.kind]
    if found.sampling:
        text = text.replace("SCALED", _SCALED[found.scale])
    return text, keys


_PHRASES: dict[str, Phrase] = {
    PRECISION: (
        "Residuals of {models} had a variance inversely proportional to precision weights.",
        (),
    ),
    VARIANCE: (
        "Residuals of {models} had the known sampling variances of the rows, as in a "
        "meta-analysis with random effects ({}).",
        ("higgins2009",),
    ),
    SAMPLING: (
        "Sampling weights in {models}, SCALED, made a pseudo-likelihood, with standard errors by "
        "the sandwich estimator for clusters ({}; {}).",
        ("pfeffermann1998", "rabe-hesketh2006"),
    ),
}
_SCALED = {
    "size": "scaled to add up to the rows of each cluster",
    "effective": "scaled to add up to the effective number of rows of each cluster",
    "none": "not scaled",
}


def models(fits: Sequence[ModelReport]) -> dict[Phrase, list[ModelReport]]:
    """The fits with weights, by what is said of these."""
    found: dict[Phrase, list[ModelReport]] = {}
    for fit in fits:
        told = phrase(fit)
        if told is not None:
            found.setdefault(told, []).append(fit)
    return found
