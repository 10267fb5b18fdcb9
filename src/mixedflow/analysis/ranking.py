"""A configured ranking: every table that its artifacts hold, and the verdict in numbers.

Beside the ranking itself (:mod:`mixedflow.ranking`): which pairs are separable, how probable each
rank is, further rankings side by side, how the order changes with a covariate, and what the
uncertainty of the variance parameters adds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr
from scipy.stats import rankdata

from mixedflow.arrays import Z95, Array
from mixedflow.artifacts import formatting, tables
from mixedflow.artifacts.fit_report import ModelReport, meaningful
from mixedflow.artifacts.storage import write_text
from mixedflow.errors import RankingError, nearest, quote
from mixedflow.inference.variance import finite
from mixedflow.language.grouping import finest
from mixedflow.language.names import INTERCEPT
from mixedflow.prose import contextual, funnel, verdicts
from mixedflow.prose.disclosure import unranked
from mixedflow.ranking import distribution, swaps
from mixedflow.ranking.confidence_sets import RankSets
from mixedflow.ranking.distribution import By, Combination
from mixedflow.ranking.funnel import ABOVE, BELOW, NEITHER, Own
from mixedflow.ranking.posterior import Posterior
from mixedflow.ranking.together import Together

if TYPE_CHECKING:
    import pandas as pd

    from mixedflow.config.specs import AtSpec, RankSpec


MOST_SHOWN = 100  # clusters in pairs, probabilities and figures, unless chosen
_ENOUGH = 0.7  # reliability from which a cluster's own estimate is commonly published
_BINS = 50  # of ranks, where there are more clusters than MOST_SHOWN


@dataclass(frozen=True)
class League:
    """Tables of a ranking by the name of their artifact, and its verdict (ranking.json)."""

    tables: dict[str, pd.DataFrame]
    verdict: dict[str, Any]

    @property
    def doubt(self) -> str:
        """What titles add where the ranking is not to be relied on."""
        reasons = self.verdict["unreliable"]
        return f" (not reliable: {'; '.join(reasons)})" if reasons else ""

    def write(self, folder: Path, title: str) -> None:
        """Write the tables with their HTML twins, and the verdict as ranking.json."""
        for name, table in self.tables.items():
            shown = f"{title}: {name.replace('_', ' ')}{self.doubt}"
            # The ranking is for programs too; the long tables beside it are for reading.
            digits = {"ranking": 8, "ranking_pairs": 5}.get(name, 6)
            tables.write(table, folder / f"{name}.csv", digits)
            formatting.write_page(table, folder / f"{name}.html", shown)
        text = json.dumps(meaningful(self.verdict), indent=1, sort_keys=True, ensure_ascii=False)
        write_text(folder / "ranking.json", text + "\n")


def rank_model(spec: RankSpec, posterior: Posterior, fit: ModelReport, noun: str = "") -> League:
    """The ranking of a configured model from its posterior and fit.json.

    ``noun`` is what the sentences call a cluster.

    Raises
    ------
    RankingError
        An unknown term or cluster, fewer than three clusters, or more at the top than there are.
    """
    where = f"models.{fit.model}.rank"
    by, sign = by_of(spec.by), distribution.sign_of(spec.best)
    combination = distribution.combine(posterior, by, where)
    n = len(combination.mean)
    top = distribution.top_of(spec.top, spec.select.share, n, where)
    highlight = _places(posterior, spec.highlight, f"{where}.highlight", fit)
    order = np.argsort(-sign * combination.mean, kind="stable")
    shown = _shown(order, highlight)
    chosen = shown
    if spec.pairs is not None:
        chosen = _places(posterior, spec.pairs, f"{where}.pairs", fit, order)
    edges = np.arange(1, n + 1) if n <= MOST_SHOWN else np.unique(_spread(n))
    drawn = distribution.posterior_ranks(combination, sign, top, shown, edges)
    sets = combination.rank_sets(sign)
    selection = (spec.select.share, spec.select.fdr)
    ranks = distribution.table(posterior, combination, sign, drawn, sets, top, selection)
    own = Own.of(combination.unshrunken, posterior.n, combination.prior_sd)
    made = {
        "ranking": ranks,
        "funnel": own.table(posterior.names),
        "ranking_pairs": _pairs(posterior, combination, sign, sets, chosen),
        "ranking_probabilities": _probabilities(posterior, drawn.probabilities, shown, edges),
        "ranking_sensitivity": _sensitivity(posterior, combination, sign, top, ranks),
    }
    slope, crossing = swaps.moving(posterior.covariates.own), None
    if slope is not None:
        made["rankings"] = _beside(posterior, spec, slope, where, ranks)
        made["ranking_order"], made["ranking_swaps"], crossing = swaps.along(
            posterior, by, slope, sign, shown
        )
    numbers = {
        "model": fit.model,
        "by": by,
        "best": spec.best,
        "top": top,
        "highlight": [str(posterior.names[j]) for j in highlight],
        "share": spec.select.share,
        "fdr": spec.select.fdr,
        "simultaneous_factor": round(drawn.band, 6),
        "unreliable": _reasons(fit),
        "swaps": crossing,
        **_league(own, made),
        **_withheld(posterior, fit),
        "left_out": contextual.of_ranking(fit),
        **_evaluated(posterior.covariates, by),
        **_factors(posterior, combination),
        **_separation(combination, sign, sets),
    }
    return League(made, {**numbers, **_said(numbers, made, noun or finest(posterior.group))})


def _said(
    numbers: Mapping[str, Any], made: Mapping[str, pd.DataFrame], noun: str
) -> dict[str, list[str]]:
    """What may be concluded and what may not, as :func:`mixedflow.prose.verdicts.of_ranking`."""
    said = verdicts.of_ranking(numbers, made, noun)
    said["sentences"] += funnel.sentences(numbers)
    if "withheld" in numbers:
        said["cautions"].insert(0, unranked(numbers["withheld"], len(made["ranking"])))
    return said


def _league(own: Own, made: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """What an official league table tells beside ranks."""
    bands = made["ranking"]["band"]
    return {
        "bands": {band: int((bands == band).sum()) for band in (ABOVE, NEITHER, BELOW)},
        "reliability": _reliability(own),
        "funnel": _outside(own, made["funnel"]),
    }


def _reliability(own: Own) -> dict[str, Any]:
    """Reliability of the clusters' own estimates, and the rows for one that is enough."""
    known = own.reliability[own.known]
    return {
        "rankability": finite(own.rankability),
        "min": float(known.min()) if known.size else None,
        "max": float(known.max()) if known.size else None,
        "enough": _ENOUGH,
        "clusters": int(known.size),
        "unreliable": int((known < _ENOUGH).sum()),
        "rows": own.rows_for(_ENOUGH),
    }


def _outside(own: Own, table: pd.DataFrame) -> dict[str, Any]:
    """Names outside the 99.8% limits, without overdispersion and with it."""
    names = {
        f"{side}{suffix}": list(table.loc[table[f"band{suffix}"] == f"{side} 99.8%", "cluster"])
        for suffix in ("", "_over")
        for side in ("above", "below")
    }
    dispersion, added = finite(own.dispersion), float(np.sqrt(own.added))
    return {"dispersion": dispersion, "added_sd": added, **names}


def _withheld(posterior: Posterior, fit: ModelReport) -> dict[str, Any]:
    """How many clusters and rows are withheld, where any are."""
    told = {group.name: group.withheld for group in fit.groups}.get(posterior.group)
    return {"withheld": told} if told else {}


def _separation(combination: Combination, sign: float, sets: RankSets) -> dict[str, Any]:
    """How many clusters there are, and how far their estimates tell them apart."""
    n = len(combination.mean)
    return {
        "clusters": n,
        "overlap_factor": combination.overlap_factor,
        "pairs": n * (n - 1) // 2,
        "separable": sets.separable,
        "separable_alone": _alone(combination, sign),
        "critical": sets.critical if np.isfinite(sets.critical) else None,
        "method": sets.method,
        "unknown": int((~sets.known).sum()),
        "variances_counted": bool(combination.variances.shape[1]),
    }


def _factors(posterior: Posterior, combination: Combination) -> dict[str, Any]:
    """Of several grouping factors, which is ranked and with what, and how the others lie to it."""
    if not posterior.added and not posterior.others:
        return {}
    found = {
        "group": posterior.group,
        "with": list(posterior.added),
        "others": dict(posterior.others),
        "unestimated": combination.unestimated,
        "whole": posterior.whole,
    }
    return {"factors": found}


def by_of(by: str | AtSpec) -> By:
    return by if isinstance(by, str) else by.at


def _reasons(fit: ModelReport) -> list[str]:
    """Why the ranking is not to be relied on; empty if it is."""
    reasons = []
    if not fit.converged:
        reasons.append("the model did not converge")
    if fit.singular:
        reasons.append(
            "the model is singular: a variance between clusters, or a combination of the random "
            "effects, is estimated as zero"
        )
    return reasons


def _places(
    posterior: Posterior, names: tuple[str, ...], where: str, fit: ModelReport, order: Any = None
) -> Array:
    """Positions of named clusters, in the order of the ranking if it is given."""
    place = {name: j for j, name in enumerate(posterior.names)} if names else {}
    for name in names:
        if name not in place:
            what = f"unknown cluster {quote(name)}"
            what += (
                ", or one that the data set's suppress withholds"
                if any(group.withheld for group in fit.groups)
                else ""
            )
            raise RankingError(where, what, nearest(name, place, "clusters"))
    found = np.array([place[name] for name in names], dtype=int)
    return found if order is None else order[np.isin(order, found)]


def _shown(order: Array, highlight: Array) -> Array:
    """All clusters in order, or of many the best, the worst and those of interest."""
    if len(order) <= MOST_SHOWN:
        return order
    half = MOST_SHOWN // 2
    ends = np.concatenate([order[:half], order[-half:], highlight])
    return order[np.isin(order, ends)]


def _spread(n: int) -> Array:
    return np.linspace(0, n, _BINS + 1)[1:].round().astype(int)


def _pairs(
    posterior: Posterior, combination: Combination, sign: float, sets: RankSets, chosen: Array
) -> pd.DataFrame:
    """One row a pair, the better by the EB estimate first.

    ``difference`` and its error are of the joint posterior, ``own_difference`` in ``own_statistic``
    standard errors of the unshrunken estimates. ``separable``: all (at once with every other
    pair), alone (only if no other pair was looked at), or no.
    """
    import pandas as pd

    i, k = (chosen[part] for part in np.triu_indices(len(chosen), 1))
    sd = combination.deviations(i, k)
    difference = combination.mean[i] - combination.mean[k]
    estimates = combination.estimates(sign)
    known = np.isin(chosen, estimates.known)
    within = np.full((len(chosen), len(chosen)), np.nan)
    within[np.ix_(known, known)] = estimates.statistics(chosen[known], chosen[known])
    statistic = within[np.triu_indices(len(chosen), 1)]
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(sd > 0, ndtr(sign * difference / sd), 0.5)
        separable = np.select(
            [np.abs(statistic) > sets.critical, np.abs(statistic) > estimates.quantile(0.025)],
            ["all", "alone"],
            "no",
        )
    return pd.DataFrame(
        {
            "first": posterior.names[i],
            "second": posterior.names[k],
            "difference": difference,
            "std_error": sd,
            "p_first_better": first,
            "own_difference": combination.unshrunken.value[i] - combination.unshrunken.value[k],
            "own_statistic": sign * statistic,
            "separable": separable,
        }
    )


def _alone(combination: Combination, sign: float) -> int:
    """Pairs whose difference exceeds what chance explains for a single pair."""
    estimates = combination.estimates(sign)
    limit = np.full(len(estimates.known), float(estimates.quantile(0.025)))
    return int(estimates.beyond(limit)[0].sum())


def _probabilities(
    posterior: Posterior, probabilities: Array, shown: Array, edges: Array
) -> pd.DataFrame:
    """One row a cluster shown, a column for each rank (or range of ranks)."""
    import pandas as pd

    lows = np.concatenate([[0], edges[:-1]]) + 1
    columns = [
        f"{a}" if a == b else f"{a} to {b}" for a, b in zip(lows, edges, strict=True)
    ]  # fmt: skip
    frame = pd.DataFrame(np.round(probabilities, 2), columns=columns)
    frame.insert(0, "cluster", posterior.names[shown])
    return frame


def _sensitivity(
    posterior: Posterior, combination: Combination, sign: float, top: int, ranks: pd.DataFrame
) -> pd.DataFrame:
    """The ranking with the variance parameters as known, as uncertain, and without shrinkage.

    Columns that end in ``_uncertain`` count their uncertainty by the delta method; they are missing
    where the parameters have no standard errors. ``rank_own`` is by the unshrunken estimates.
    """
    import pandas as pd

    kept = ["cluster", "rank", "expected_rank", "rank_low", "rank_high", "p_top"]
    if combination.variances.shape[1]:
        wider = combination.with_variances
        drawn = distribution.posterior_ranks(wider, sign, top)
        columns = {
            "expected_rank": drawn.expected,
            "rank_low": drawn.low,
            "rank_high": drawn.high,
            "p_top": np.round(drawn.p_top, 2),
        }
    else:
        columns = dict.fromkeys(kept[2:], np.full(len(ranks), np.nan))
    value = combination.estimates(sign).value
    own = np.full(len(value), np.nan)
    known = np.isfinite(value)
    own[known] = rankdata(-value[known], method="min")
    columns = {f"{name}_uncertain": column for name, column in columns.items()}
    added = pd.DataFrame({"cluster": posterior.names, **columns, "rank_own": own})
    return ranks[kept].merge(added, on="cluster", how="left", validate="one_to_one")


def _beside(
    posterior: Posterior, spec: RankSpec, slope: str, where: str, ranks: pd.DataFrame
) -> pd.DataFrame:
    """The main ranking and those beside it, one row a ranking and cluster.

    Unless the configuration says which: by the slope, and at both ends of the middle 90% of the
    covariate.
    """
    import pandas as pd

    sign = distribution.sign_of(spec.best)
    top = distribution.top_of(spec.top, spec.select.share, len(ranks), where)
    main, title = by_of(spec.by), title_of(posterior.covariates, by_of(spec.by))
    wanted: list[tuple[str, By]] = [(name, by_of(by)) for name, by in spec.beside]
    for name, _ in wanted:
        if name == title:
            what = f"{quote(name)} is the name of the ranking itself"
            raise RankingError(f"{where}.beside", what, "choose another")
    if not wanted:
        wanted = _ends(posterior, main, slope)
        if posterior.covariates.own.factor_of(slope) is None:
            wanted.append((f"slope of {slope}", slope))
        elif INTERCEPT in posterior.random_terms:  # else it is the value at the level
            wanted.append((f"effect of {slope}", slope))
        wanted = [(name, by) for name, by in wanted if by != main and name != title]
    columns = [
        "cluster", "estimate", "conf_low", "conf_high", "rank", "expected_rank", "rank_low",
        "rank_high", "p_top",
    ]  # fmt: skip
    frames = [ranks[columns].assign(ranking=title)]
    at = pd.Index(posterior.names).get_indexer(pd.Index(ranks["cluster"]))
    for name, by in wanted:
        other = distribution.combine(posterior, by, f"{where}.beside.{name}")
        drawn = distribution.posterior_ranks(other, sign, top)
        half = Z95 * np.sqrt(other.variance)
        frame = pd.DataFrame(
            {
                "cluster": posterior.names,
                "estimate": other.mean,
                "conf_low": other.mean - half,
                "conf_high": other.mean + half,
                "rank": other.places(sign),
                "expected_rank": drawn.expected,
                "rank_low": drawn.low,
                "rank_high": drawn.high,
                "p_top": np.round(drawn.p_top, 2),
                "ranking": name,
            }
        )
        frames.append(frame.iloc[at])
    return pd.concat(frames, ignore_index=True)[["ranking", *columns]]


def _ends(posterior: Posterior, by: By, slope: str) -> list[tuple[str, By]]:
    """The value at both ends of the covariate of a slope, or at a factor's two levels."""
    name, low, high = swaps.span(posterior, slope)
    at: dict[str, float | str] = {} if isinstance(by, str) else dict(by)
    factor = posterior.covariates.own.factor_of(slope)
    if factor is None:
        ends = dict.fromkeys((low, high))
        digits = next((d for d in range(3, 17) if f"{low:.{d}g}" != f"{high:.{d}g}"), 17)
        return [(f"at {name} = {x:.{digits}g}", {**at, name: float(x)}) for x in ends]
    name, reference, level = factor
    return [(f"at {name} = {x}", {**at, name: x}) for x in (reference, level)]


def _evaluated(covariates: Together, by: By) -> dict[str, Any]:
    """At which values of other covariates the clusters are compared, where there are any."""
    held = {} if isinstance(by, str) else covariates.held(by)
    return {"held": held} if held else {}


def title_of(covariates: Together, by: By) -> str:
    """A ranked quantity in the terms of the model, or by the covariates and what else is held."""
    if isinstance(by, str):
        return by
    if sorted([INTERCEPT, *by]) == sorted(set(covariates.terms)):
        return " + ".join([INTERCEPT, *(f"{x:g} {term}" for term, x in sorted(by.items()))])
    held = covariates.held(by)
    parts = [f"{name} = {shown(value)}" for name, value in sorted(by.items())]
    others = [f"{name} = {shown(value)}" for name, value in held.items()]
    return f"at {', '.join(parts)}" + (f" ({', '.join(others)})" if others else "")


def shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
