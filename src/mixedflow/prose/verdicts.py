"""What may and may not be concluded from a ranking, in sentences.

Plain text: names of clusters come from strangers, are set apart by Unicode's isolates, and are
escaped where a page shows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow.artifacts import formatting
from mixedflow.artifacts.formatting import count, number
from mixedflow.language.grouping import finest

if TYPE_CHECKING:
    import pandas as pd


_ISOLATE, _END = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
_LONGEST = 40
_LISTED = 10


def named(cluster: object) -> str:
    """A cluster's name on one line, cut, and isolated from the direction of the text around it."""
    line = " ".join(str(cluster).split())
    short = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return f"{_ISOLATE}{short}{_END}"


def called(noun: str, cluster: object) -> str:
    """A cluster with the noun before its name, unless the name begins with it."""
    repeated = str(cluster).casefold().startswith(noun.casefold())
    return named(cluster) if repeated else f"{noun} {named(cluster)}"


def listed(clusters: Iterable[object]) -> str:
    """Names in a row, the first few of many."""
    names = [named(cluster) for cluster in clusters]
    if len(names) > _LISTED:
        return f"{', '.join(names[:_LISTED])} and {count(len(names) - _LISTED)} more"
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def of_ranking(
    numbers: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], noun: str
) -> dict[str, list[str]]:
    """``sentences`` (what may be concluded) and ``cautions`` (what may not) of a ranking.

    ``numbers`` is the verdict so far, ``tables`` the ranking's by name, ``noun`` a cluster in the
    singular.
    """
    ranks, factors = tables["ranking"], numbers.get("factors", {})
    n, sets = len(ranks), not factors.get("unestimated")  # of ranks: they need estimates
    sentences = [
        _extreme(ranks, tables["ranking_pairs"] if sets else None, noun, first=True),
        _extreme(ranks, tables["ranking_pairs"] if sets else None, noun, first=False),
        *(_of_interest(ranks, name, noun, sets) for name in numbers["highlight"]),
        _surely(ranks, numbers) if sets else "",
        _selected(ranks, numbers),
        disagreeing(ranks, numbers),
        _average(ranks),
        _apart(numbers) if sets else "",
    ]
    cautions = [
        f"This ranking is not reliable: {reason}." for reason in numbers["unreliable"]
    ]  # fmt: skip
    cautions += _given(factors, n)
    if numbers.get("held"):
        cautions.append(_held(numbers["by"], numbers["held"]))
    cautions += [_neighbours(ranks, tables["ranking_pairs"], n) if sets else ""]
    if numbers["unknown"] and sets:
        cautions.append(
            f"{count(numbers['unknown'])} of {count(n)} clusters have too few rows for an estimate "
            f"of their own: no rank from 1 to {count(n)} can be ruled out for them."
        )
    cautions += numbers.get("left_out", [])
    if numbers["swaps"]:
        cautions.append(_swaps(numbers["swaps"], numbers["pairs"]))
    cautions.append(_uncertain(tables["ranking_sensitivity"], numbers["variances_counted"]))
    return {
        "sentences": [text for text in sentences if text],
        "cautions": [text for text in cautions if text],
    }


def _percent(part: float, whole: float) -> str:
    share = 100.0 * part / whole if whole else 0.0
    return f"{share:.0f}%" if share >= 1 or share == 0 else "less than 1%"


def _ranks(low: float, high: float) -> str:
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def _given(factors: Mapping[str, Any], n: int) -> list[str]:
    """Of several grouping factors: which effects are compared, and what is known of the others."""
    if not factors:
        return []
    found = []
    added = [named(finest(name)) for name in factors["with"]]
    own = named(finest(factors["group"]))
    if added:
        found.append(f"Compared are sums: the effect of each {own} with that of its {_and(added)}.")
    words = {
        "above": f"Each {own} is compared by what it adds to its {{}}: that effect is not counted.",
        "below": f"What sets one {{}} apart from the next within each {own} is not counted.",
        "crossed": "Clusters are compared given their {}, as if it were the same.",
    }
    for how, text in words.items():
        names = [named(finest(name)) for name, lies in factors["others"].items() if lies == how]
        if names:
            found.append(text.format(_and(names)))
    if factors["unestimated"]:
        found.append(
            f"There are no estimates without shrinkage: {factors['unestimated']}. So there are no "
            "confidence sets of ranks either, and no pair is told apart."
        )
    elif factors["others"]:
        names = [named(finest(name)) for name in factors["others"]]
        found.append(
            f"The confidence sets of ranks take the effects of {_and(names)} as random, with the "
            "variances that the model estimates."
        )
    if not factors["whole"]:
        found.append(
            f"The posterior ranks take the {count(n)} clusters as independent: what those of one "
            "cluster of another factor share is left out."
        )
    return found


def _and(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def _apart(numbers: Mapping[str, Any]) -> str:
    return (
        f"Of {count(numbers['pairs'])} pairs, {count(numbers['separable'])} "
        f"({_percent(numbers['separable'], numbers['pairs'])}) can be told apart with 95% "
        "confidence for all pairs at once; a pair that was chosen before anybody saw the estimates "
        f"could be in {count(numbers['separable_alone'])}."
    )


def _extreme(ranks: pd.DataFrame, pairs: pd.DataFrame | None, noun: str, first: bool) -> str:
    """The first or last; ``pairs`` are None where no set of ranks and no pair can be had."""
    row = ranks.iloc[0 if first else -1]
    n, name = len(ranks), str(row["cluster"])
    if first:
        among = f"among the best {count(row['rank_set_high'])}"
        place, sure = "first", row["rank_set_high"] < n
    else:
        among = f"among the last {count(n + 1 - row['rank_set_low'])}"
        place, sure = "last", row["rank_set_low"] > 1
    text = f"{called(noun, name)} comes {place} by the estimate. "
    ranked = _ranks(row["rank_low"], row["rank_high"])
    posterior = f"its rank is {ranked} with posterior probability 95%."
    if pairs is None:
        return f"{text}Given the model, {posterior}"
    if sure:
        text += f"It is {among} of {count(n)} with 95% confidence for all clusters at once"
    else:
        text += f"With 95% confidence for all clusters at once, none of the {count(n)} ranks is out"
    text += f"; given the model, {posterior}"
    own = pairs[(pairs["first"] == name) | (pairs["second"] == name)]
    alike = own[own["separable"] != "all"]
    if len(own) == n - 1:
        others = np.where(alike["first"] == name, alike["second"], alike["first"])
        if not first:
            others = others[::-1]
        text += (
            f" It cannot be told apart from {listed(others)}."
            if len(others)
            else " It can be told apart from every other."
        )
    return text


def _of_interest(ranks: pd.DataFrame, name: str, noun: str, sets: bool) -> str:
    """A highlighted cluster; of those at the ends, that came to notice by it, is told before."""
    row = ranks[ranks["cluster"] == name].iloc[0]
    if name in (ranks["cluster"].iloc[0], ranks["cluster"].iloc[-1]):
        return ""
    text = (
        f"{called(noun, name)} has rank {count(row['rank'])} of {count(len(ranks))} by the estimate"
    )
    if not sets:
        return f"{text}."
    together = _ranks(row["rank_set_low"], row["rank_set_high"])
    alone = _ranks(row["rank_set_low_marginal"], row["rank_set_high_marginal"])
    return (
        f"{text}; its rank is {together} with 95% confidence for all clusters at once, and {alone} "
        "for it alone, if it was chosen before anybody saw the ranks."
    )


def _surely(ranks: pd.DataFrame, numbers: Mapping[str, Any]) -> str:
    texts = []
    for side, word in (("top", "best"), ("bottom", "last")):
        found = list(ranks.loc[ranks["surely"] == side, "cluster"])
        if found:
            texts.append(
                f"{listed(found)} {_is(len(found))} surely among the {word} "
                f"{count(numbers['top'])} (95% confidence for all at once)"
            )
        else:
            texts.append(f"none is surely among the {word} {count(numbers['top'])}")
    text = "; ".join(texts) + "."
    return text[0].upper() + text[1:]


def _selected(ranks: pd.DataFrame, numbers: Mapping[str, Any]) -> str:
    texts = []
    for side in ("best", "worst"):
        found = list(ranks.loc[ranks["selected"] == side, "cluster"])
        texts.append(f"{listed(found) if found else 'none'} as {side}")
    return (
        f"Selected as the {side_share(numbers['share'])}: {'; '.join(texts)}. At most "
        f"{_percent(numbers['fdr'], 1)} of such selections are expected to be false."
    )


def side_share(share: float) -> str:
    return f"best and worst {100 * share:g}%"


def apart(ranks: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The clusters above and those below the average, with 95% confidence for all at once."""
    above = ranks.loc[ranks["simultaneous_low"] > 0, "cluster"]
    below = ranks.loc[ranks["simultaneous_high"] < 0, "cluster"]
    return list(above), list(below)


def _average(ranks: pd.DataFrame) -> str:
    """How many clusters are above and below the average, and how many cannot be told from it."""
    above, below = map(len, apart(ranks))
    alone = (int((ranks["conf_low"] > 0).sum()), int((ranks["conf_high"] < 0).sum()))
    return (
        f"{count(above)} of {count(len(ranks))} are above average, {count(below)} below, and "
        f"{count(len(ranks) - above - below)} are not distinguishable from it with 95% confidence "
        f"for all at once; each looked at alone, it is {count(alone[0])}, {count(alone[1])} and "
        f"{count(len(ranks) - sum(alone))}."
    )


def disagreeing(ranks: pd.DataFrame, numbers: Mapping[str, Any]) -> str:
    """Why the selection and the probability of being among the best do not name the same."""
    texts = []
    for side, column, word in (("best", "p_top", "best"), ("worst", "p_bottom", "last")):
        likely, chosen = ranks[column] > 0.5, ranks["selected"] == side
        place = f"among the {word} {count(numbers['top'])}"
        for rows, verb in ((likely & ~chosen, "not selected"), (chosen & ~likely, "selected")):
            found = ranks[rows]
            if len(found):
                names = ", ".join(
                    f"{named(cluster)} ({p:.2f})"
                    for cluster, p in zip(found["cluster"][:_LISTED], found[column], strict=False)
                )
                size = "more" if verb.startswith("not") else "less"
                texts.append(
                    f"{names} {_is(len(found))} {size} likely than not {place}, and {verb}"
                )
    if not texts:
        return ""
    return (
        f"{'; '.join(texts)}. The probability counts places among these {count(len(ranks))}; the "
        f"selection asks for a value in the {side_share(numbers['share'])} of all clusters that "
        "the model describes, and keeps down how many of the whole list are false."
    )


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def _neighbours(ranks: pd.DataFrame, pairs: pd.DataFrame, n: int) -> str:
    """How many neighbours in the table are shown to differ."""
    if len(pairs) < n * (n - 1) // 2:
        return ""
    verdict = {
        frozenset(pair): kind
        for *pair, kind in zip(pairs["first"], pairs["second"], pairs["separable"], strict=True)
    }
    names = list(ranks["cluster"])
    shown = sum(
        verdict[frozenset(pair)] == "all" for pair in pairwise(names)
    )  # fmt: skip
    return (
        f"Of {count(n - 1)} pairs of neighbours in the table, {count(shown) if shown else 'none'} "
        f"{'is' if shown <= 1 else 'are'} shown to differ: a step of one place means nothing by "
        "itself."
    )


def _swaps(swaps: Mapping[str, Any], pairs: int) -> str:
    held = f", with {_others(swaps['held'])}" if swaps.get("held") else ""
    covariate = f"{named(swaps['predictor'])}{held}"
    ends = f"from {number(swaps['low'], 3)} to {number(swaps['high'], 3)}"
    back = ""
    if swaps.get("back"):
        several = swaps["back"] > 1
        back = (
            f" Of the clusters drawn, {count(swaps['back'])} {'pairs' if several else 'pair'} more "
            f"{'change' if several else 'changes'} places and back in between."
        )
    if not swaps["crossing"]:
        more = f" at both ends.{back}" if back else "."
        return f"Over {covariate} {ends} the order of the clusters stays the same{more}"
    return (
        f"The order depends on {covariate}: {ends}, "
        f"{count(swaps['crossing'])} of {count(pairs)} pairs "
        f"({_percent(swaps['crossing'], pairs)}) change places by the estimates, "
        f"{count(swaps['sure']) if swaps['sure'] else 'none'} of them with posterior probability "
        f"above 95%.{back}"
    )


def _held(at: Mapping[str, Any], held: Mapping[str, Any]) -> str:
    """At which covariates the clusters are compared, and where the others stand."""
    values = " and ".join(f"{named(name)} = {_value(x)}" for name, x in sorted(at.items()))
    return f"Clusters are compared at {values}, with {_others(held)}."


def _others(held: Mapping[str, Any]) -> str:
    """Where covariates stand that nobody set."""
    return " and ".join(
        f"{named(name)} {'at' if isinstance(x, str) else 'at its mean,'} {_value(x)}"
        for name, x in held.items()
    )


def _value(x: float | str) -> str:
    return named(x) if isinstance(x, str) else f"{x:.4g}".replace("-", formatting.MINUS)


def _uncertain(sensitivity: pd.DataFrame, counted: bool) -> str:
    if not counted:
        return (
            "The posterior ranks take the variance parameters as known, because these have no "
            "standard errors here."
        )
    width = [
        sensitivity[f"rank_high{kind}"] - sensitivity[f"rank_low{kind}"] + 1
        for kind in ("", "_uncertain")
    ]
    change = float((width[1] - width[0]).abs().max())
    ends = max(
        float((sensitivity[f"{end}_uncertain"] - sensitivity[end]).abs().max())
        for end in ("rank_low", "rank_high")
    )
    if max(change, ends) == 0:
        return "Counting the uncertainty of the variance parameters moves no posterior interval."
    places = "place" if ends == 1 else "places"
    return (
        "Counting the uncertainty of the variance parameters moves the ends of the posterior rank "
        f"intervals by at most {count(ends)} {places}."
    )
