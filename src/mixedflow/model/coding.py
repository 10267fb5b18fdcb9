"""How the columns of a fixed part are made of levels and covariates, without any data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mixedflow.arrays import Array
from mixedflow.language.codings import Coding
from mixedflow.language.formula import Term
from mixedflow.model.atoms import category
from mixedflow.model.contrast_columns import contrast_matrix
from mixedflow.model.design import coded, parts_of


@dataclass(frozen=True)
class Column:
    """A column of a term: the product of its covariates and of indicators of ``levels``.

    ``levels`` are numbers, by factor; a factor may be missing from it: what the other terms leave
    of a term can be the main effect of another factor. ``contrasts`` are columns of other codings,
    (K,) a number for each level.
    """

    term: Term
    levels: Mapping[str, int]
    contrasts: Mapping[str, Array] = field(default_factory=dict)


def columns(
    terms: tuple[Term, ...],
    levels: Mapping[str, Sequence[str]],
    codings: Mapping[str, Coding],
) -> tuple[Column, ...]:
    """The columns of the fixed part, in order; ``levels`` and ``codings`` are of its factors.

    Of terms and levels alone, as coding does not depend on the data.
    """
    import pandas as pd

    atoms = {atom for term in terms for atom in term}
    if not atoms & levels.keys():
        return tuple(Column(term, {}) for term in terms)
    row = {
        atom: category(pd.Series(levels[atom][:1]), levels[atom], atom, "terms", codings.get(atom))
        if atom in levels
        else pd.Series([1.0])
        for atom in atoms
    }
    built, used = coded(terms, row, 1, "terms")
    known = {frozenset(term): term for term in terms}
    names = list(map(str, built.columns))
    found = []
    for term, part in built.model_spec.term_slices.items():
        of = {part.atom for part in parts_of(str(term), used)} if str(term) != "1" else set()
        for name in names[part]:
            own, contrasts = {}, {}
            for atom, level, reduced in parts_of(name, used):
                coding = codings.get(atom)
                if level is not None and reduced and coding is not None and coding.centred:
                    matrix = contrast_matrix(coding.kind, len(levels[atom]))
                    contrasts[atom] = matrix[:, level - 1]
                elif level is not None:
                    own[atom] = level
            found.append(Column(known[frozenset(of)], own, contrasts))
    return tuple(found)
