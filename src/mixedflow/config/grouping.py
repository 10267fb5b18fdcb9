"""The grouping factors of models: those of a data set, and which of a model is ranked."""

from __future__ import annotations

from collections.abc import Iterable

from mixedflow.config.specs import RankSpec
from mixedflow.errors import ConfigError, nearest, quote
from mixedflow.language import formula
from mixedflow.language.formula import GroupTerm, Parsed
from mixedflow.language.grouping import Columns, called


def ranked(where: str, rank: RankSpec, parsed: Parsed) -> list[GroupTerm]:
    """The grouping factor whose clusters are ranked, the first by default, and those added to it.

    Raises
    ------
    ConfigError
        One that the formula does not have, or the ranked one added to itself.
    """
    names, found = [group.name for group in parsed.groups], [parsed.groups[0]]
    wanted = [("with", name) for name in rank.added]
    if rank.group is not None:
        found, wanted = [], [("group", rank.group), *wanted]
    for key, name in wanted:
        place = called(name, names)
        if place is None:
            what = f"unknown grouping factor {quote(name)}"
            raise ConfigError(f"{where}.{key}", what, nearest(name, names, "factors"))
        if found and parsed.groups[place] is found[0]:
            what = f"{quote(names[place])} is what is ranked"
            raise ConfigError(f"{where}.{key}", what, "leave it out")
        found.append(parsed.groups[place])
    return found


def factors(formulas: Iterable[str]) -> tuple[Columns, ...]:
    """The grouping factors of those models of a data set that have several, each once, in order.

    Empty where no model has.
    """
    found = (formula.parse(text).groups for text in formulas)
    several = [groups for groups in found if len(groups) > 1]
    return tuple(dict.fromkeys(group.columns for groups in several for group in groups))
