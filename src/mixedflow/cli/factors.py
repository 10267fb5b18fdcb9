"""Which grouping factors ``init`` makes of the columns that group the rows: nested or crossed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mixedflow.cli.writing import backquoted
from mixedflow.data.clusters import restart
from mixedflow.data.raw import RawData
from mixedflow.errors import quote
from mixedflow.model.clusters import index, labels_of
from mixedflow.model.crossing import cells, lies_within

Chain = tuple[str, ...]  # columns from coarse to fine, each within the one before


@dataclass(frozen=True)
class Grouping:
    """Chains of nested columns, crossed with each other, and what the data said of them."""

    chains: tuple[Chain, ...]
    told: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for chain in self.chains for name in chain)


def names_in(given: Sequence[str]) -> list[str]:
    """All that the options may name: a column as it is, or several with / between them."""
    parts = (part for text in given for part in (text, *text.split("/")))
    return list(dict.fromkeys(part for part in parts if part))


def grouping(raw: RawData, given: Sequence[str]) -> Grouping:
    """Read ``--cluster``: ``school/class`` is nested; of several columns the data say how they lie.

    A column that does not exist is left for the check of all roles.
    """
    columns = set(map(str, raw.frame.columns))
    asked = [(text,) if text in columns else tuple(text.split("/")) for text in given]
    asked = list(dict.fromkeys(asked))
    if not {name for chain in asked for name in chain} <= columns:
        return Grouping(tuple(asked))
    rows = raw.frame[list(dict.fromkeys(name for chain in asked for name in chain))].dropna()
    codes = {
        name: index(labels_of([rows[name]]))[0] for name in rows.columns
    }  # in natural order, as numbers that begin anew have to be
    chains = [chain for chain in asked if len(chain) > 1]
    told = [_asked(outer, inner, codes) for chain in chains for outer, inner in pairwise(chain)]
    alone = [chain[0] for chain in asked if len(chain) == 1]
    every = [*alone, *(chain[-1] for chain in chains)]
    above = {one: _above(one, every, codes) for one in alone}
    # Coarse columns first, so that finer ones find what they lie within.
    for one in sorted(alone, key=lambda one: len(above[one])):
        for chain in chains:
            if chain[-1] in above[one]:
                chains[chains.index(chain)] = longer = (*chain, one)
                told.append(f"{above[one][chain[-1]]}: nested, {_bar(longer)}")
                break
        else:
            chains.append((one,))
    first = asked[0][0]
    chains.sort(key=lambda chain: first not in chain)
    told += [
        _crossed(one[0], other[0], codes)
        for k, one in enumerate(chains)
        for other in chains[k + 1 :]
    ]
    return Grouping(tuple(chains), tuple(told))


def _bar(chain: Chain) -> str:
    return f"(1 | {'/'.join(map(backquoted, chain))})"


def _within(inner: str, outer: str, codes: dict[str, np.ndarray]) -> str:
    """That a column lies within another, or begins anew in each of its clusters; else nothing."""
    if lies_within(codes[inner], codes[outer]):
        return f"{quote(inner)} lies within {quote(outer)}"
    found = cells(codes[inner], codes[outer])
    if restart(found.one, found.other, len(found.codes)):
        return f"{quote(inner)} begins anew in each {quote(outer)}"
    return ""


def _above(one: str, every: Sequence[str], codes: dict[str, np.ndarray]) -> dict[str, str]:
    """The columns that a column is nested in, each with the sentence that says how."""
    found = {other: _within(one, other, codes) for other in every if other != one}
    # Of two columns with the same clusters, and of two that may each be in the other, the first.
    return {
        other: said
        for other, said in found.items()
        if said and not (_within(other, one, codes) and every.index(one) < every.index(other))
    }


def _asked(outer: str, inner: str, codes: dict[str, np.ndarray]) -> str:
    """How a column that was said to be nested lies in the data."""
    return _within(inner, outer, codes) or (
        f"the same {quote(inner)} occurs in several {quote(outer)}, and is taken for a different "
        f"one in each; if it is one, --cluster {outer} --cluster {inner}"
    )


def _crossed(one: str, other: str, codes: dict[str, np.ndarray]) -> str:
    found = cells(codes[one], codes[other])
    possible = (int(codes[one].max()) + 1) * (int(codes[other].max()) + 1)
    return (
        f"{quote(one)} and {quote(other)} are crossed: {len(found.one)} of {possible} combinations "
        "have rows"
    )
