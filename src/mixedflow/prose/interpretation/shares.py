"""Sentences about the share of the variance that lies between clusters."""

from __future__ import annotations

from markupsafe import Markup

from mixedflow.prose.wording import Words, interval, number


def share_between(words: Words) -> list[tuple[str, Markup]]:
    """The ICC or, where it does not exist, the VPC, with its sentence; nothing without either."""
    icc, vpc = words.model.fit.icc, words.model.fit.vpc
    if icc and icc.estimate is not None:
        text = Markup(
            "{}% of the variance that the covariates leave lies between clusters (ICC {}, {}). "
            "The same number is the correlation of two rows of one cluster."
        ).format(round(100 * icc.estimate), number(icc.estimate), interval(vars(icc)))
        return [("ICC", text)]
    if not vpc or vpc.estimate is None:
        return []
    name = vpc.predictor
    at = Markup("At the means of the covariates")
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
        "{}, {}% of the variance that the covariates leave lies between clusters (VPC {}, {}). "
        "With a random slope this share is another at other values, and one intraclass "
        "correlation does not exist."
    ).format(at, round(100 * vpc.estimate), number(vpc.estimate), interval(vars(vpc)))
    return [("VPC", text)]
