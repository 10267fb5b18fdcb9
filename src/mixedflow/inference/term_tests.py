"""Type III tests: one a term of the fixed part, by its marginal hypothesis.

The hypothesis of a term is about means over the levels of all other factors, each level counting
alike: a main effect of A beside A:B says that the means of A over B are equal, not that A makes no
difference at B's reference, which the coefficients of treatment coding say. It depends on neither
the coding nor the numbers of rows (Speed, Hocking and Hackney 1978, J. Amer. Statist. Assoc. 73;
Goodnight 1980). As in SAS and lmerTest a term is averaged over the terms that contain it: with more
factors and the same covariates. Where the effect of A depends on a covariate, A is thus tested
where that covariate is 0.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from mixedflow.arrays import Array
from mixedflow.errors import ModelError
from mixedflow.inference.small_sample import Method, SmallSample
from mixedflow.language import expressions
from mixedflow.language.formula import Parsed, Term
from mixedflow.model.atoms import levels_of_atoms
from mixedflow.model.coding import Column, columns
from mixedflow.model.fitted import Fitted

if TYPE_CHECKING:
    import pandas as pd

_TYPES = {
    "term": "str", "test": "str", "statistic": "float64", "df_num": "int64", "df": "float64",
    "p_value": "float64",
}  # fmt: skip


def hypotheses(columns: tuple[Column, ...], n_levels: dict[str, int]) -> dict[Term, Array]:
    """Of each term but the intercept the rows L (r, p) of its hypothesis L b = 0.

    ``columns`` are those of the fixed part, ``n_levels`` the numbers of levels of its factors.
    """
    found = {}
    for term in dict.fromkeys(column.term for column in columns if column.term):
        own = np.array([column.term == term for column in columns])
        if not any(_contains(other.term, term, n_levels) for other in columns):
            found[term] = np.eye(len(columns))[own]
            continue
        means = _means(columns, term, n_levels)
        # What the terms before it span is no part of the term: the grand mean, say.
        before = means[:, : int(np.argmax(own))]
        rest = means - before @ (np.linalg.pinv(before) @ means)
        # In the basis in which each row has one of the term's own columns.
        found[term] = np.linalg.pinv(rest[:, own]) @ rest
    return found


def _contains(other: tuple[str, ...], term: tuple[str, ...], factors: dict[str, int]) -> bool:
    """Whether a term has the factors of another and more, and the same covariates."""
    return set(term) < set(other) and set(other) - set(term) <= factors.keys()


def _means(columns: tuple[Column, ...], term: tuple[str, ...], n_levels: dict[str, int]) -> Array:
    """(cells, p) what each column adds to the means of the cells of a term's factors.

    Of columns with other covariates than the term's nothing.
    """
    factors = [atom for atom in term if atom in n_levels]
    covariates = set(term) - set(factors)
    cells = np.array(list(product(*(range(n_levels[name]) for name in factors))))
    means = np.zeros((len(cells), len(columns)))
    for k, column in enumerate(columns):
        if set(column.term) - n_levels.keys() != covariates:
            continue
        means[:, k] = 1.0
        for atom, level in column.levels.items():
            if atom in factors:
                means[:, k] *= cells[:, factors.index(atom)] == level
            else:
                means[:, k] /= n_levels[atom]
        for atom, values in column.contrasts.items():
            there = atom in factors
            means[:, k] *= values[cells[:, factors.index(atom)]] if there else values.mean()
    return means


def _of_one_unit(parsed: Parsed, written: str) -> bool:
    """Whether the columns of a term have one unit: powers of a covariate have not."""
    of = [column for column, basis in parsed.bases.items() if basis in written]
    bases = (expressions.basis_of(parsed.atoms[column]) for column in of)
    return not any(basis is not None and basis.raw for basis in bases)


def term_tests(fit: Fitted, small_sample: SmallSample, method: Method = "normal") -> pd.DataFrame:
    """One row a term: the Wald chi-squared of ``normal``, else F, with degrees of freedom.

    Columns term, test (chi2 or F), statistic, df_num, df (of the denominator of F), p_value.
    Denominator df by Satterthwaite are lmerTest's.

    Raises
    ------
    ModelError
        A fit from arrays, which has no terms.
    """
    import pandas as pd

    if fit.parsed is None or fit.frame is None:
        raise ModelError("term tests", "a fit from arrays has no terms", "use test with weights")
    levels = levels_of_atoms(fit.parsed, fit.frame)
    used = {atom for term in fit.parsed.fixed_terms for atom in term}
    n_levels = {name: len(found) for name, found in levels.items() if name in used}
    rows = []
    coded = columns(fit.parsed.fixed_terms, levels, fit.parsed.codings)
    together: dict[str, list[Array]] = {}
    for term, weights in hypotheses(coded, n_levels).items():
        together.setdefault(fit.parsed.written(term), []).append(weights)
    for written, parts in together.items():
        # Rows of one unit leave nothing to bring to a common scale, as lmerTest has it.
        found = small_sample.test(
            np.vstack(parts), method, as_given=_of_one_unit(fit.parsed, written)
        )
        if method == "normal":
            wald = found["df_num"] * found["statistic"]
            rows.append((written, "chi2", wald, found["df_num"], np.nan, found["p_value"]))
        else:
            rows.append((written, "F", *found.values()))
    table = pd.DataFrame(rows, columns=list(_TYPES))
    return table.astype(_TYPES)
