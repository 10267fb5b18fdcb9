"""Model formulas in lme4 notation: text -> Parsed (no data needed) -> Design (matrices).

A formula is data, never code. It is tokenised and expanded here; function calls inside it go
through the expression language of :mod:`mixedflow.expressions`; formulaic codes the categorical
columns, and sees nothing but names and levels made up here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mixedflow import expressions
from mixedflow.errors import DataError, ExpressionError, FormulaError, nearest, quote

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

INTERCEPT = "Intercept"
_MAX_LENGTH, _MAX_DEPTH, _MAX_POWER, _MAX_TERMS = 2000, 40, 6, 300
_TOKEN = re.compile(
    r"\s*(?:(?P<name>[^\W\d]\w*)|`(?P<quoted>[^`\n]+)`|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<op>\|\||\*\*|[-+*/:^|()~]))"
)
_PURE_CALLS = ("log", "exp", "sqrt", "abs", "clip", "cut", "where")
_CATEGORY_CALLS = ("C", "factor")
_CALLS = (*_PURE_CALLS, *_CATEGORY_CALLS, "I")

Term = tuple[str, ...]  # the atoms of an interaction, () is the intercept


def slope_of(random_terms: Sequence[str]) -> str | None:
    """The first random slope beside a random intercept, over which clusters change their order."""
    slopes = [term for term in random_terms if term != INTERCEPT]
    return slopes[0] if slopes and INTERCEPT in random_terms else None


@dataclass(frozen=True)
class Block:
    """One bar term: effects that share a covariance matrix."""

    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Parsed:
    """What a formula says before any data are seen.

    ``fixed`` and ``random_terms`` are terms as users write them ("Intercept", "a:b").
    ``blocks`` are the groups of random effects that are correlated among themselves.
    """

    text: str
    outcome: str
    fixed_terms: tuple[Term, ...]
    group: str | None
    blocks: tuple[Block, ...]
    atoms: dict[str, str] = field(hash=False)  # atom as shown -> expression that evaluates it

    @property
    def fixed(self) -> tuple[str, ...]:
        return tuple(show(term) for term in self.fixed_terms)

    @property
    def fixed_key(self) -> frozenset[frozenset[str]]:
        """The fixed part as a set, so that ``a:b`` and ``b:a`` are the same."""
        return frozenset(frozenset(term) for term in self.fixed_terms)

    @property
    def random_terms(self) -> tuple[str, ...]:
        return tuple(show(term) for block in self.blocks for term in block.terms)

    @property
    def correlated(self) -> bool:
        return any(len(block.terms) > 1 for block in self.blocks)

    @property
    def n_variance_parameters(self) -> int:
        """Variances and covariances of the random effects, and the residual variance."""
        return 1 + sum(len(b.terms) * (len(b.terms) + 1) // 2 for b in self.blocks)

    @property
    def variables(self) -> frozenset[str]:
        """Columns of the data that the formula uses, the grouping factor included."""
        used = {self.outcome} if self.group is None else {self.outcome, self.group}
        for text in self.atoms.values():
            used |= expressions.names(text)
        return frozenset(used)


def show(term: Term) -> str:
    return ":".join(term) if term else INTERCEPT


def parse(text: str, where: str = "formula") -> Parsed:
    """Read a formula in lme4 notation with at most one grouping factor.

    Raises
    ------
    FormulaError
        Syntax, a function outside the allow-list, or two grouping factors.
    """
    return _Parser(text, where).formula()


class _Parser:
    def __init__(self, text: str, where: str) -> None:
        if not isinstance(text, str):
            raise FormulaError(where, f"a formula is text, not {quote(text)}")
        if len(text) > _MAX_LENGTH:
            raise FormulaError(where, f"the formula is longer than {_MAX_LENGTH} characters")
        self.text, self.where, self.at, self.depth = text, where, 0, 0
        self.atoms: dict[str, str] = {}

    def fail(self, what: str, hint: str = "") -> FormulaError:
        return FormulaError(self.where, f"{what} in {quote(self.text)}", hint)

    # Tokens

    def peek(self) -> tuple[str, str] | None:
        if not self.text[self.at :].strip():
            return None
        match = _TOKEN.match(self.text, self.at)
        if not match:
            bad = self.text[self.at :].lstrip()[0]
            raise self.fail(f"unexpected {quote(bad)}", "write it as y ~ x + (1 | group)")
        assert match.lastgroup is not None
        self._end = match.end()
        return match.lastgroup, match.group(match.lastgroup)

    def take(self) -> tuple[str, str]:
        token = self.peek()
        if token is None:
            raise self.fail("the formula ends too early")
        self.at = self._end
        return token

    def accept(self, *ops: str) -> str | None:
        token = self.peek()
        if token and token[0] == "op" and token[1] in ops:
            self.at = self._end
            return token[1]
        return None

    def expect(self, op: str) -> None:
        if not self.accept(op):
            token = self.peek()
            found = quote(token[1]) if token else "the end"
            raise self.fail(f"expected {quote(op)}, found {found}")

    # Grammar

    def formula(self) -> Parsed:
        kind, outcome = self.take()
        if kind not in ("name", "quoted") or not self.accept("~"):
            raise self.fail(
                "the left-hand side must be one variable, then '~'",
                "derive a transformed outcome under the data set's derive",
            )
        fixed: list[Term] = [()]
        bars: list[tuple[list[Term], str, bool]] = []
        sign = "-" if self.accept("-") else "+"
        while True:
            self._summand(sign, fixed, bars)
            found = self.accept("+", "-")
            if not found:
                break
            sign = found
        if self.peek() is not None:
            raise self.fail(f"unexpected {quote(self.take()[1])}")
        groups = sorted({group for _, group, _ in bars})
        if len(groups) > 1:
            raise self.fail(
                f"two grouping factors ({', '.join(map(quote, groups))})",
                "one grouping factor is supported: keep one of them",
            )
        blocks: list[Block] = []
        for terms, _, split in bars:
            parts = [[term] for term in terms] if split else [terms]
            blocks += [Block(tuple(part)) for part in parts]
        flat = [frozenset(term) for block in blocks for term in block.terms]
        if len(set(flat)) < len(flat):
            raise self.fail("a random effect stands twice", "name each of them once")
        if not fixed:
            raise self.fail("no fixed effects at all", "keep at least the intercept")
        if len(fixed) > _MAX_TERMS:
            raise self.fail(f"more than {_MAX_TERMS} terms")
        # As in R: main effects before interactions, otherwise in the order of writing.
        fixed.sort(key=len)
        if outcome in {atom for term in fixed for atom in term}:
            raise self.fail(f"the outcome {quote(outcome)} is also a predictor")
        group = groups[0] if groups else None
        return Parsed(self.text, outcome, tuple(fixed), group, tuple(blocks), self.atoms)

    def _summand(
        self, sign: str, fixed: list[Term], bars: list[tuple[list[Term], str, bool]]
    ) -> None:
        start = self.at
        if self.accept("("):
            self.depth += 1
            terms = self.sum()
            bar = self.accept("|", "||")
            if bar:
                if sign == "-":
                    raise self.fail("a random term cannot be subtracted")
                self.depth -= 1
                bars.append((self._random(terms), self._group(), bar == "||"))
                self.expect(")")
                return
            self.at, self.depth = start, self.depth - 1
        self.number_terms = None
        product = self.product()
        _combine(fixed, product, sign, self.number_terms)

    def _group(self) -> str:
        kind, name = self.take()
        token = self.peek()
        if kind not in ("name", "quoted") or token != ("op", ")"):
            raise self.fail(
                "the right-hand side of '|' must be one variable",
                "one grouping factor is supported: no nesting '/', no ':'",
            )
        return name

    def _random(self, terms: list[Term]) -> list[Term]:
        if not terms:
            raise self.fail("a random part without effects")
        return sorted(terms, key=len)

    def sum(self) -> list[Term]:
        """Terms of a sum inside parentheses; a bar term's own sum starts with its intercept."""
        terms: list[Term] = []
        wrote_intercept: bool | None = None
        sign = "-" if self.accept("-") else "+"
        while True:
            self.number_terms = None
            product = self.product()
            number = self._number()
            if number is not None:
                wrote_intercept = (number == 1) == (sign == "+")
            else:
                _combine(terms, product, sign, None)
            found = self.accept("+", "-")
            if not found:
                break
            sign = found
        is_bar = self.peek() in (("op", "|"), ("op", "||"))
        if wrote_intercept or (is_bar and wrote_intercept is None):
            terms.insert(0, ())
        self.number_terms = None
        return terms

    number_terms: int | None = None  # the 0 or 1 that the last product was, if it was one

    def _number(self) -> int | None:
        return self.number_terms

    def product(self) -> list[Term]:
        terms = self.interaction()
        while op := self.accept("*", "/"):
            right = self.interaction()
            crossed = _cross(terms, right)
            if op == "*":
                terms = _union(terms, right, crossed)
            else:
                whole = tuple(dict.fromkeys(atom for term in terms for atom in term))
                terms = _union(terms, _cross([whole], right))
            self._bounded(terms)
        return terms

    def interaction(self) -> list[Term]:
        terms = self.power()
        while self.accept(":"):
            terms = _cross(terms, self.power())
            self._bounded(terms)
        return terms

    def power(self) -> list[Term]:
        terms = self.atom()
        while self.accept("^", "**"):
            kind, number = self.take()
            if kind != "number" or not number.isdigit() or not 1 <= int(number) <= _MAX_POWER:
                raise self.fail(f"a power of terms must be a whole number from 1 to {_MAX_POWER}")
            base = terms
            for _ in range(int(number) - 1):
                terms = _union(terms, _cross(terms, base))
                self._bounded(terms)
        return terms

    def _bounded(self, terms: list[Term]) -> None:
        if len(terms) > _MAX_TERMS:
            raise self.fail(f"more than {_MAX_TERMS} terms")

    def atom(self) -> list[Term]:
        if self.accept("("):
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise self.fail("parentheses are nested too deeply")
            terms = self.sum()
            if self.peek() in (("op", "|"), ("op", "||")):
                raise self.fail("a random term must stand alone in the sum", "y ~ x + (1 | group)")
            self.expect(")")
            self.depth -= 1
            return terms
        kind, token = self.take()
        if kind == "number":
            if token not in ("0", "1"):
                raise self.fail(f"the number {token} is no term", "0 and 1 switch the intercept")
            self.number_terms = int(token)
            return []
        if kind == "op":
            raise self.fail(f"unexpected {quote(token)}")
        if kind == "name" and self.accept("("):
            return [(self._call(token),)]
        self.atoms[token] = f"`{token}`" if kind == "quoted" else token
        return [(token,)]

    def _call(self, function: str) -> str:
        if function not in _CALLS:
            raise self.fail(f"unknown function {quote(function)}", nearest(function, _CALLS))
        start, depth = self.at, 1
        while depth:
            if self.at >= len(self.text):
                raise self.fail("a parenthesis is not closed")
            depth += {"(": 1, ")": -1}.get(self.text[self.at], 0)
            self.at += 1
        inside = self.text[start : self.at - 1].strip()
        if function in _PURE_CALLS:
            expression = f"{function}({inside})"
        else:
            expression = inside.replace("^", "**")
        try:
            expressions.check(expression, self.where)
        except ExpressionError as error:
            raise FormulaError(error.where, error.what, error.hint) from None
        shown = f"{function}({inside})"
        self.atoms[shown] = expression
        return shown


def _union(*groups: list[Term]) -> list[Term]:
    found: dict[frozenset[str], Term] = {}
    for term in itertools.chain(*groups):
        found.setdefault(frozenset(term), term)
    return list(found.values())


def _cross(left: list[Term], right: list[Term]) -> list[Term]:
    return _union([tuple(dict.fromkeys(a + b)) for a in left for b in right])


def _combine(terms: list[Term], more: list[Term], sign: str, number: int | None) -> None:
    """Add or remove ``more``; a lone 0 or 1 switches the intercept."""
    if not more and number is not None:
        keep = (number == 1) == (sign == "+")
        if keep and () not in terms:
            terms.insert(0, ())
        elif not keep and () in terms:
            terms.remove(())
        return
    gone = {frozenset(term) for term in more}
    kept = [t for t in terms if frozenset(t) not in gone]
    terms[:] = _union(terms, more) if sign == "+" else kept


# Matrices


@dataclass(frozen=True)
class Design:
    """A model's matrices, rows in the order of the data, rows with missing values dropped.

    ``y`` (N,), ``X`` (N, p), ``Z`` (N, q), ``cluster`` (N,) labels as strings (None without a
    group), ``rows`` (N,) positions in the frame. ``blocks`` gives the size of each group of
    correlated random effects, in the order of the columns of Z.
    """

    y: NDArray[np.float64]
    X: NDArray[np.float64]
    Z: NDArray[np.float64]
    cluster: NDArray[Any] | None
    terms: tuple[str, ...]
    random_terms: tuple[str, ...]
    blocks: tuple[int, ...]
    rows: NDArray[np.int64]
    n_missing: int


def design(parsed: Parsed, frame: pd.DataFrame, where: str = "formula") -> Design:
    """Evaluate a formula on data.

    Raises
    ------
    FormulaError
        A variable that the data do not have.
    DataError
        An outcome that is not numeric, constant or all missing; infinite values.
    """
    import pandas as pd

    atoms, outcome, rows = _evaluated(parsed, frame, where)
    if not len(rows):
        raise DataError(where, "no row is complete in the outcome and all predictors")
    y = outcome[rows]
    if y.min() == y.max():
        raise DataError(where, f"the outcome {quote(parsed.outcome)} is constant ({y[0]:g})")
    for name, values in atoms.items():
        if isinstance(values.dtype, pd.CategoricalDtype) and len(values.cat.categories) >= len(
            rows
        ):
            raise DataError(
                where,
                f"{quote(name)} has {len(values.cat.categories)} levels for {len(rows)} rows",
                "is it meant to be a number?",
            )
    cluster = None
    if parsed.group is not None:
        cluster = frame[parsed.group].astype(str).to_numpy(dtype=object)[rows]
    return _assembled(parsed, atoms, outcome, rows, cluster, where)


def chunk_design(
    parsed: Parsed, frame: pd.DataFrame, like: pd.DataFrame, where: str = "formula"
) -> Design:
    """The matrices of a chunk of the rows, with the categories of ``like``; without clusters.

    What only all rows together can show is not looked at: a constant outcome, a level that no row
    has, or no complete row at all.

    Raises
    ------
    FormulaError, DataError
        As ``design``.
    """
    return _assembled(parsed, *_evaluated(parsed, frame, where, like), None, where)


def _evaluated(
    parsed: Parsed, frame: pd.DataFrame, where: str, like: pd.DataFrame | None = None
) -> tuple[dict[str, pd.Series], NDArray[np.float64], NDArray[np.int64]]:
    """The atoms, the outcome (N,), and the rows in which all of them are there."""
    import numpy as np

    columns = [str(name) for name in frame.columns]
    for name in sorted(parsed.variables):
        if name not in columns:
            raise FormulaError(where, f"unknown variable {quote(name)}", nearest(name, columns))
        if columns.count(name) > 1:
            raise DataError(where, f"{columns.count(name)} columns are named {quote(name)}")
        if frame[name].dtype.kind == "c":
            raise DataError(where, f"{quote(name)} is not numeric ({frame[name].dtype})")
    atoms = _atoms(parsed, frame, where, like)
    outcome = _outcome(frame[parsed.outcome], parsed.outcome, where, whole=like is None)
    used = np.isfinite(outcome)
    for values in atoms.values():
        used &= values.notna().to_numpy()
    if parsed.group is not None:
        used &= frame[parsed.group].notna().to_numpy()
    rows = np.flatnonzero(used)
    for name, values in atoms.items():
        if values.dtype.kind == "f" and not np.isfinite(values.to_numpy()[rows]).all():
            raise DataError(
                where, f"infinite values in {quote(name)}", "filter them or derive it anew"
            )
    return atoms, outcome, rows


def _assembled(
    parsed: Parsed,
    atoms: dict[str, pd.Series],
    outcome: NDArray[np.float64],
    rows: NDArray[np.int64],
    cluster: NDArray[Any] | None,
    where: str,
) -> Design:
    import numpy as np

    kept = {name: values.iloc[rows].reset_index(drop=True) for name, values in atoms.items()}
    fixed, terms = _matrix(parsed.fixed_terms, kept, len(rows), where)
    parts = [_matrix(block.terms, kept, len(rows), where) for block in parsed.blocks]
    return Design(
        y=outcome[rows],
        X=fixed,
        Z=np.hstack([matrix for matrix, _ in parts]) if parts else np.empty((len(rows), 0)),
        cluster=cluster,
        terms=terms,
        random_terms=tuple(name for _, names in parts for name in names),
        blocks=tuple(len(names) for _, names in parts),
        rows=rows,
        n_missing=len(outcome) - len(rows),
    )


def fixed_matrix(
    parsed: Parsed, frame: pd.DataFrame, like: pd.DataFrame, where: str = "formula"
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The fixed part's matrix for new rows, with the categories of the data of the fit (``like``).

    Returns (n, p) and the p terms. Missing values raise DataError: a prediction needs them all.
    """
    atoms = {
        name: values
        for name, values in _atoms(parsed, frame, where, like=like).items()
        if any(name in term for term in parsed.fixed_terms)
    }
    for name, values in atoms.items():
        if values.isna().any():
            raise DataError(where, f"missing values in {quote(name)}")
    return _matrix(parsed.fixed_terms, atoms, len(frame), where)


def random_matrix(
    parsed: Parsed, frame: pd.DataFrame, like: pd.DataFrame, where: str = "formula"
) -> NDArray[np.float64]:
    """The random part's columns for new rows: (n, q)."""
    import numpy as np

    atoms = _atoms(parsed, frame, where, like=like)
    parts = [_matrix(block.terms, atoms, len(frame), where)[0] for block in parsed.blocks]
    return np.hstack(parts)


def _atoms(
    parsed: Parsed, frame: pd.DataFrame, where: str, like: pd.DataFrame | None = None
) -> dict[str, pd.Series]:
    """Every atom as a float column, or as a categorical one with levels c0, c1, ..."""
    import pandas as pd

    evaluated = {}
    for name, text in parsed.atoms.items():
        try:
            values = expressions.evaluate(text, frame, where)
            reference = None if like is None else expressions.evaluate(text, like, where)
        except ExpressionError as error:
            raise FormulaError(error.where, error.what, error.hint) from None
        as_category = name.startswith(tuple(f"{call}(" for call in _CATEGORY_CALLS))
        if not as_category and pd.api.types.is_numeric_dtype(values.dtype):
            evaluated[name] = values.astype("float64").reset_index(drop=True)
            continue
        try:
            levels = _levels(values if reference is None else reference)
        except TypeError:
            raise DataError(
                where, f"{quote(name)} is neither numbers nor text ({values.dtype}, mixed)"
            ) from None
        codes = _codes(values, levels, name, where)
        safe = pd.Index([f"c{i}" for i in range(len(levels))])
        category = pd.Categorical.from_codes(codes, safe)
        column = pd.Series(category)
        column.attrs["levels"] = levels
        evaluated[name] = column
    return evaluated


def _codes(values: pd.Series, levels: list[str], name: str, where: str) -> NDArray[np.int64]:
    import numpy as np
    import pandas as pd

    place = {level: code for code, level in enumerate(levels)}
    rows, found = pd.factorize(values)
    codes = []
    for value in found:
        if _level_name(value) not in place:
            raise DataError(
                where,
                f"{quote(name)} has the level {quote(_level_name(value))}, unknown to the fit",
                nearest(_level_name(value), levels),
            )
        codes.append(place[_level_name(value)])
    return np.append(np.array(codes, dtype=np.int64), -1)[rows]


def _level_name(value: Any) -> str:
    """1.0 and 1 are the same level, shown as 1."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _levels(values: pd.Series) -> list[str]:
    """Levels in use: a categorical's own order, else numbers by size and text by letters."""
    import pandas as pd

    present = values.dropna()
    if isinstance(values.dtype, pd.CategoricalDtype):
        seen = set(present.astype(str))
        return [str(level) for level in values.cat.categories if str(level) in seen]
    return list(dict.fromkeys(_level_name(value) for value in sorted(present.unique())))


def _outcome(values: pd.Series, name: str, where: str, whole: bool = True) -> NDArray[np.float64]:
    import numpy as np
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype) or not pd.api.types.is_numeric_dtype(
        values.dtype
    ):
        raise DataError(where, f"the outcome {quote(name)} is not numeric ({values.dtype})")
    outcome = values.to_numpy(dtype="float64", na_value=np.nan)
    if np.isinf(outcome).any():
        raise DataError(where, f"infinite values in the outcome {quote(name)}", "filter them")
    if whole and np.isnan(outcome).all():
        raise DataError(where, f"the outcome {quote(name)} is missing in every row")
    return outcome


_CODED = re.compile(r"a(\d+)(?:\[(?:T\.)?c(\d+)\])?")


def _matrix(
    terms: tuple[Term, ...], atoms: dict[str, pd.Series], n_rows: int, where: str
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    import numpy as np
    import pandas as pd

    if not any(isinstance(atoms[a].dtype, pd.CategoricalDtype) for t in terms for a in t):
        # Products of numbers need no coding, and formulaic costs as much to load as a fit.
        parts = [
            np.prod([atoms[a].to_numpy() for a in term], axis=0) if term else np.ones(n_rows)
            for term in terms
        ]
        return np.column_stack(parts), tuple(show(t) for t in terms)
    import formulaic

    used = list(dict.fromkeys(atom for term in terms for atom in term))
    safe = {atom: f"a{i}" for i, atom in enumerate(used)}
    for atom in used:
        column = atoms[atom]
        if isinstance(column.dtype, pd.CategoricalDtype) and len(column.cat.categories) < 2:
            only = column.attrs["levels"]
            raise DataError(where, f"{quote(atom)} has one level only ({', '.join(only)})")
    text = " + ".join(":".join(safe[atom] for atom in term) if term else "1" for term in terms)
    if () not in terms:
        text += " - 1"
    data = pd.DataFrame({safe[atom]: atoms[atom] for atom in used}, index=range(n_rows))
    built = formulaic.model_matrix(text, data, na_action="raise", context={})
    names = []
    for column in built.columns:
        parts_shown = []
        for number, level in _CODED.findall(str(column)) if column != INTERCEPT else []:
            atom = used[int(number)]
            shown = f"{atom}[{atoms[atom].attrs['levels'][int(level)]}]" if level else atom
            parts_shown.append(shown)
        names.append(":".join(parts_shown) or INTERCEPT)
    return np.ascontiguousarray(built.to_numpy(dtype="float64")), tuple(names)
