"""What each table and figure is called and what to see in it: words alone, by the artifact's name.

The report prints them; the files below workflow/report, which Snakemake's own report prints, are
made from them (:func:`rst`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mixedflow.artifacts.registry import ARTIFACTS
from mixedflow.prose.captions import datasets, models, rankings
from mixedflow.prose.captions.caption import Caption

__all__ = ["ALL", "Caption", "of_model", "of_residuals", "rst", "variants", "write_rst"]

ALL = {
    **datasets.CAPTIONS,
    **models.CAPTIONS,
    **rankings.CAPTIONS,
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
    "report": Caption(
        "Report",
        "What was found, and pages behind it with everything else; no network is needed.",
    ),
}


def of_model(marginal: bool, structured: bool) -> dict[str, Caption]:
    """The captions of a marginal model, and of one with a residual structure."""
    return {
        **ALL,
        **(models.STRUCTURED if structured else {}),
        **(models.MARGINAL if marginal else {}),
    }


def variants() -> dict[str, list[Caption]]:
    """Every caption by its artifact: the usual one, then those that some models have instead."""
    others = (models.STRUCTURED, models.MARGINAL)
    return {
        name: [caption, *(other[name] for other in others if name in other)]
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
The analyses of data sets by linear mixed models. Start with the page under *Report*: it answers the
questions asked, ranks, and says what to be careful about.
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
