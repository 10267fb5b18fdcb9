"""Sentences about the share of the variance that lies between clusters."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mixedflow.artifacts.fit_report import LevelShare
from mixedflow.language import residuals
from mixedflow.language.names import INTERCEPT
from mixedflow.prose.levels import Called
from mixedflow.prose.markup import conjoined
from mixedflow.prose.wording import Words, interval, number

_SAME = "The same number is the correlation of two rows of one cluster."
_ALIKE = (
    "It is the correlation of two rows of one cluster whose residuals do not correlate; that of "
    "others counts the residuals’ correlation too."
)
_AT_VALUES = (
    "With a random slope this share is another at other values, and one intraclass correlation "
    "does not exist."
)
_AT_VARIANCES = (
    "Where the residual variance is another the share is, too, and one intraclass correlation does "
    "not exist."
)


def share_between(words: Words) -> list[tuple[str, Markup]]:
    """The ICC or, where it does not exist, the VPC, with its sentence; nothing without either.

    Of several factors with random intercepts, a share each and how alike rows are.
    """
    fit = words.model.fit
    icc, vpc = fit.icc, fit.vpc
    if fit.shares:
        return _by_level(words, fit.shares)
    if icc and icc.estimate is not None:
        text = Markup(
            "{}% of the variance that the covariates leave lies between clusters (ICC {}, {}). {}"
        ).format(
            round(100 * icc.estimate), number(icc.estimate), interval(vars(icc)),
            _ALIKE if fit.residual and fit.residual.get("correlation") else _SAME,
        )  # fmt: skip
        return [("ICC", text)]
    if not vpc or vpc.estimate is None:
        return []
    name = vpc.predictor
    slopes = any(term != INTERCEPT for term in fit.random_terms)
    at = Markup("At the means of the covariates")
    if not slopes:
        at = Markup("At the mean residual variance of the rows")
    if name:
        mean, ends = vpc.mean_x, words.model.data.range(str(name))
        tiny = ends and abs(mean) < 1e-9 * (ends[1] - ends[0])
        at = Markup("Where {} is at its mean, {}").format(
            words.name(str(name)), "0" if tiny else number(mean)
        )
    if vpc.held:
        others = (
            f"{key} = {x if isinstance(x, str) else number(x)}" for key, x in vpc.held.items()
        )
        at += Markup(" ({})").format(", ".join(others))
    text = Markup(
        "{}, {}% of the variance that the covariates leave lies between clusters{} (VPC {}, {}). {}"
    ).format(
        at,
        round(100 * vpc.estimate),
        words.model.called.parts(vpc),
        number(vpc.estimate),
        interval(vars(vpc)),
        _AT_VALUES if slopes else _AT_VARIANCES,
    )
    if slopes and (told := fit.residual) and not residuals.read(told, "residual").one_variance:
        text += Markup(
            " The residual variance is that at this value, or its mean over the rows where the "
            "value does not decide about it."
        )
    return [("VPC", text)]


def _by_level(words: Words, shares: Sequence[LevelShare]) -> list[tuple[str, Markup]]:
    called, left = words.model.called, 1.0
    told: list[Markup] = []
    for entry in shares:
        if entry.group is None or entry.share is None or entry.share.estimate is None:
            continue
        lies = "lies " if not told else ""
        told.append(
            Markup("{}% {}between {} ({})").format(
                round(100 * entry.share.estimate), lies, called.clusters(entry.group),
                interval(vars(entry.share)),
            )
        )  # fmt: skip
        left -= entry.share.estimate
    told.append(Markup("{}% between rows that share all their clusters").format(round(100 * left)))
    text = Markup("Of the variance that the covariates leave, {}.").format(conjoined(told))
    return [("shares", text), ("correlations", _alike(called, shares))]


def _alike(called: Called, shares: Sequence[LevelShare]) -> Markup:
    """How two rows of the same clusters correlate."""
    told = []
    for entry in shares:
        if entry.correlation.estimate is None:
            continue
        far = {name for one in entry.same for name in called.groups[one].within}
        same = conjoined(called.factor(name) for name in entry.same if name not in far)
        others = [called.factor(name) for name in called.groups if name not in entry.same]
        but = Markup(" but another {}").format(conjoined(others)) if others else Markup("")
        told.append(
            Markup("{} ({}) if they are of the same {}{}").format(
                number(entry.correlation.estimate), interval(vars(entry.correlation)), same, but
            )
        )
    return Markup("The correlation of two rows is {}.").format(conjoined(told))
