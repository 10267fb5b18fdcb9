"""The right-hand side of a bar: ``school/class`` -> the columns of each grouping factor."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mixedflow.errors import quote
from mixedflow.language.names import NAME, RESIDUAL
from mixedflow.language.scanning import Scanner

RENAME = "give the column another name (rename, in a data set of the configuration)"

_COLUMNS = "behind '|' stand columns, with / or : between them"

Columns = tuple[str, ...]  # coarse to fine as written; several are an interaction


def factors(scanner: Scanner) -> list[Columns]:
    """Read up to the closing parenthesis: ``a/b:c`` is ``a`` and ``a:b:c``, as in lme4.

    Raises
    ------
    FormulaError
        Anything but columns with ``/`` and ``:`` between them, or a column twice.
    """
    found = [_product(scanner)]
    while scanner.accept("/"):
        found.append((*found[-1], *_product(scanner)))
    columns = found[-1]
    _refuse_operator(scanner, found)
    for name in columns:
        if columns.count(name) > 1:
            raise scanner.fail(f"{quote(name)} stands twice behind one '|'", "name it once")
    if any(factor == (RESIDUAL,) for factor in found):
        raise scanner.fail(
            f"a grouping factor called {quote(RESIDUAL)} cannot be told from the residual", RENAME
        )
    return found


def written(columns: Columns) -> str:
    """A factor as a formula can hold it: in backquotes what is no name there."""
    return ":".join(name if re.fullmatch(NAME, name) else f"`{name}`" for name in columns)


def effects(random_terms: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Names of each factor's random effects, with the factor where there are several."""
    if len(random_terms) == 1:
        return [tuple(terms) for terms in random_terms.values()]
    return [tuple(f"{t} | {name}" for t in terms) for name, terms in random_terms.items()]


def called(name: str, factors: Sequence[str]) -> int | None:
    """The place of the factor ``name`` among ``factors``, where ``class`` may mean school:class.

    None of a name that no factor has, and that ends none or several of theirs.
    """
    if name in factors:
        return list(factors).index(name)
    ends = [place for place, factor in enumerate(factors) if factor.endswith(f":{name}")]
    return ends[0] if len(ends) == 1 else None


def finest(factor: str) -> str:
    """The last column of a factor's name: what its clusters are called."""
    return factor.rsplit(":", 1)[-1]


def _product(scanner: Scanner) -> Columns:
    names = [_column(scanner)]
    while scanner.accept(":"):
        names.append(_column(scanner))
    return tuple(names)


def _column(scanner: Scanner) -> str:
    kind, name = scanner.take()
    if kind not in ("name", "quoted") or scanner.peek() == ("op", "("):
        own = "each factor has a bar of its own: (1 | a) + (1 | a:b)"
        raise scanner.fail(_COLUMNS, own if name == "(" else "derive a column of what is computed")
    return name


def _refuse_operator(scanner: Scanner, found: list[Columns]) -> None:
    """What else joins terms of a formula joins no factors: each has a bar of its own."""
    token = scanner.peek()
    if token == ("op", ")"):
        return
    if token not in (("op", "+"), ("op", "*")):
        raise scanner.fail(_COLUMNS, "such as (1 | school/class)")
    scanner.take()
    left, right = found[-1], _product(scanner)
    several = [left, right] if token[1] == "+" else [left, right, (*left, *right)]
    bars = " + ".join(f"(1 | {written(columns)})" for columns in several)
    raise scanner.fail(
        f"{quote(token[1])} joins no grouping factors", f"each has a bar of its own: {bars}"
    )
