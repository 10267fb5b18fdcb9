"""Terms of a fitted model taken apart: ``lrt:type[girls]`` is lrt times the level girls of type."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import NamedTuple

from mixedflow.errors import MixedflowError
from mixedflow.language import formula
from mixedflow.language.names import INTERCEPT

_MOST_PERMUTED = 4  # factors of an interaction that may stand in another order than written


class Factor(NamedTuple):
    """A covariate as the formula names it, and the level of a categorical one."""

    name: str
    level: str | None = None

    @property
    def shown(self) -> str:
        return self.name if self.level is None else f"{self.name}[{self.level}]"


def parsed(text: str) -> formula.Parsed | None:
    """The formula of a fit; None where it cannot be read."""
    try:
        return formula.parse(text)
    except MixedflowError:
        return None


def split(names: Iterable[str], found: formula.Parsed | None) -> dict[str, tuple[Factor, ...]]:
    """The factors of each term; none for the intercept.

    Levels are strangers' words and may hold colons and brackets, so that the formula's own
    covariates say where a name ends; without them the first bracket does.
    """
    known: list[formula.Term] = []
    if found is not None:
        random = (term for block in found.blocks for term in block.terms)
        known = sorted({*found.fixed_terms, *random}, key=lambda term: (-len(term), term))
    return {name: _factors(name, known) for name in names}


def _factors(name: str, known: list[formula.Term]) -> tuple[Factor, ...]:
    if name == INTERCEPT:
        return ()
    for term in known:
        orders = itertools.permutations(term) if len(term) <= _MOST_PERMUTED else [term]
        for order in orders:
            pattern = ":".join(rf"{re.escape(atom)}(?:\[(.*?)\])?" for atom in order)
            match = re.fullmatch(pattern, name, re.DOTALL)
            if match and order:
                return tuple(map(Factor, order, match.groups()))
    parts = re.findall(r"(?:[^:\[]|\[[^\]]*\]?)+", name)
    levels = [re.fullmatch(r"([^\[]+)\[(.*)\]", part, re.DOTALL) for part in parts]
    return tuple(
        Factor(match[1], match[2]) if match else Factor(part)
        for part, match in zip(parts, levels, strict=True)
    )
