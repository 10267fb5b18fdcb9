"""Model formulas in lme4 notation: text -> Parsed. No data are needed.

A formula is data, never code. It is tokenised and expanded here; function calls inside it go
through the expression language of :mod:`mixedflow.language.expressions`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from mixedflow.errors import ExpressionError, FormulaError, quote
from mixedflow.language import codings, expressions
from mixedflow.language.bases import BASES, USAGE
from mixedflow.language.codings import Coding, CodingError
from mixedflow.language.foreign import instead
from mixedflow.language.grouping import RENAME, Columns, factors
from mixedflow.language.names import INTERCEPT, backquoted
from mixedflow.language.scanning import CALLS, CATEGORY_CALLS, PURE_CALLS, RESPONSES, Scanner

_MAX_DEPTH, _MAX_POWER, _MAX_TERMS = 40, 6, 300

Term = tuple[str, ...]  # the atoms of an interaction, () is the intercept


def slope_of(random_terms: Sequence[str]) -> str | None:
    """The first random effect besides the intercept: over its covariate the order may change."""
    return next((term for term in random_terms if term != INTERCEPT), None)


@dataclass(frozen=True)
class Block:
    """One bar term: effects that share a covariance matrix."""

    terms: tuple[Term, ...]


@dataclass(frozen=True)
class GroupTerm:
    """A grouping factor and the effects that vary by it, those of a block correlated.

    Its clusters are the combinations of the values of ``columns``, coarse to fine as written.
    """

    columns: Columns
    blocks: tuple[Block, ...]

    @property
    def name(self) -> str:
        return show(self.columns)

    @property
    def random_terms(self) -> tuple[str, ...]:
        return tuple(show(term) for block in self.blocks for term in block.terms)


@dataclass(frozen=True)
class Parsed:
    """What a formula says before any data are seen.

    ``fixed`` and ``random_terms`` are terms as users write them ("Intercept", "a:b"); ``groups``
    are the grouping factors, none for a formula without a bar; ``notes`` say what may not be meant.
    """

    text: str
    outcome: str
    fixed_terms: tuple[Term, ...]
    groups: tuple[GroupTerm, ...]
    atoms: dict[str, str] = field(hash=False)  # atom as shown -> expression that evaluates it
    notes: tuple[str, ...] = ()
    bases: dict[str, str] = field(default_factory=dict, hash=False)  # column -> poly(x, 2)
    codings: dict[str, Coding] = field(default_factory=dict, hash=False)  # of factors: C(f, Sum)
    offsets: tuple[str, ...] = ()  # atoms with the coefficient 1
    response: str = ""  # the expression of an outcome that is no column, log(y)

    @property
    def outcome_columns(self) -> frozenset[str]:
        """Columns of the data that make the outcome."""
        own = frozenset({self.outcome})
        return frozenset(expressions.names(self.response)) if self.response else own

    def written(self, term: Term) -> str:
        """A term as users write it: one for all columns of a basis."""
        return show(tuple(dict.fromkeys(self.bases.get(atom, atom) for atom in term)))

    @property
    def fixed(self) -> tuple[str, ...]:
        return tuple(show(term) for term in self.fixed_terms)

    @property
    def fixed_key(self) -> frozenset[frozenset[str]]:
        """The fixed part as a set, so that ``a:b`` and ``b:a`` are the same."""
        return frozenset(frozenset(term) for term in self.fixed_terms)

    @property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(block for group in self.groups for block in group.blocks)

    @property
    def random_terms(self) -> tuple[str, ...]:
        return tuple(term for group in self.groups for term in group.random_terms)

    @property
    def correlated(self) -> bool:
        return any(len(block.terms) > 1 for block in self.blocks)

    @property
    def n_variance_parameters(self) -> int:
        """Variances and covariances of the random effects, and the residual variance."""
        return 1 + sum(len(b.terms) * (len(b.terms) + 1) // 2 for b in self.blocks)

    def in_clusters(self, column: str) -> Parsed:
        """The same with the clusters of ``column``, if it has none: nothing varies between them."""
        return self if self.groups else replace(self, groups=(GroupTerm((column,), ()),))

    @property
    def grouping(self) -> frozenset[str]:
        """Columns of the data that make the grouping factors."""
        return frozenset(name for group in self.groups for name in group.columns)

    @property
    def variables(self) -> frozenset[str]:
        """Columns of the data that the formula uses, those of the grouping factors included."""
        used = {*self.outcome_columns, *self.grouping}
        for text in self.atoms.values():
            used |= expressions.names(text)
        return frozenset(used)


def show(term: Term) -> str:
    return ":".join(term) if term else INTERCEPT


def parse(text: str, where: str = "formula") -> Parsed:
    """Read a formula in lme4 notation, with any number of grouping factors.

    Raises
    ------
    FormulaError
        Syntax, a function outside the allow-list, an effect of one grouping factor twice.
    """
    # Who fits one formula to many frames reads it once; what is no text is refused below.
    return _parsed(text, where) if isinstance(text, str) else _Parser(text, where).formula()


@lru_cache(maxsize=256)
def _parsed(text: str, where: str) -> Parsed:
    return _Parser(text, where).formula()


_Bar = tuple[list[Term], list[Columns], bool]  # effects, factors, whether each effect is alone


class _Parser(Scanner):
    """The grammar, a method a rule, from sums down to atoms.

    It is long because the grammar has many rules, each of a few lines.
    """

    def __init__(self, text: str, where: str) -> None:
        super().__init__(text, where)
        self.depth = 0
        self.atoms: dict[str, str] = {}
        self.notes: list[str] = []
        self.bases: dict[str, tuple[str, ...]] = {}  # as written -> its columns
        self.codings: dict[str, Coding] = {}
        self.offsets: list[str] = []
        self.number: int | None = None  # the 0 or 1 that the last product was, if it was one

    def formula(self) -> Parsed:
        outcome, response = self._outcome()
        fixed: list[Term] = [()]
        bars: list[_Bar] = []
        sign: str | None = self.accept("-") or "+"
        while sign:
            self._summand(sign, fixed, bars)
            sign = self.accept("+", "-")
        if self.peek() is not None:
            raise self.fail(f"unexpected {quote(self.take()[1])}")
        groups = self._groups(bars)
        if not fixed:
            raise self.fail("no fixed effects at all", "keep at least the intercept")
        if len(fixed) > _MAX_TERMS:
            raise self.fail(f"more than {_MAX_TERMS} terms")
        # As in R: main effects before interactions, otherwise in the order of writing.
        fixed.sort(key=len)
        predictors = {atom for term in fixed for atom in term}
        columns = expressions.names(response) if response else {outcome}
        if {outcome, *columns} & predictors:
            raise self.fail(f"the outcome {quote(outcome)} is also a predictor")
        notes = tuple(dict.fromkeys(self.notes))
        fixed = self._columns(fixed)
        bases = {column: name for name, columns in self.bases.items() for column in columns}
        return Parsed(
            self.text,
            outcome,
            tuple(fixed),
            groups,
            self.atoms,
            notes,
            bases,
            self.codings,
            tuple(self.offsets),
            response,
        )

    def _outcome(self) -> tuple[str, str]:
        """The outcome as it is shown, and the expression of one that is no column."""
        kind, outcome = self.take()
        if kind == "name" and outcome in RESPONSES and self.accept("("):
            inside = self.inside()
            response = f"{outcome}({inside})"
            _check(response, self.where)
            if self.accept("~"):
                self.notes.append(
                    f"the outcome is {response}: tables, figures and predictions are on its scale"
                )
                return response, response
            kind = ""
        if kind not in ("name", "quoted") or not self.accept("~"):
            raise self.fail(
                "the left-hand side must be one variable or its log(), then '~'",
                "derive any other outcome under the data set's derive",
            )
        return outcome, ""

    def _columns(self, terms: Sequence[Term]) -> list[Term]:
        """Terms of one column each: a basis stands for as many as it has, the first fastest."""
        found = []
        for term in terms:
            each = [self.bases.get(atom, (atom,)) for atom in reversed(term)]
            found += [tuple(reversed(columns)) for columns in itertools.product(*each)]
        return found

    def _groups(self, bars: list[_Bar]) -> tuple[GroupTerm, ...]:
        """The factors in the order of writing, all bars of one together."""
        found: dict[frozenset[str], tuple[Columns, list[Block]]] = {}
        for effects, several, split in bars:
            for columns in several:
                _, blocks = found.setdefault(frozenset(columns), (columns, []))
                # Each effect is alone after ||.
                parts = [[effect] for effect in effects] if split else [effects]
                blocks += [Block(tuple(self._columns(part))) for part in parts]
        groups = tuple(GroupTerm(columns, tuple(blocks)) for columns, blocks in found.values())
        for group in groups:
            flat = [frozenset(term) for block in group.blocks for term in block.terms]
            if len(set(flat)) < len(flat):
                what = f"a random effect of {quote(group.name)} stands twice"
                raise self.fail(what, "name each of them once")
            if sum(other.name == group.name for other in groups) > 1:
                raise self.fail(f"two grouping factors would be called {quote(group.name)}", RENAME)
        return groups

    def _offset(self, sign: str) -> bool:
        """An offset, if one stands here."""
        start = self.at
        if self.peek() != ("name", "offset"):
            return False
        self.take()
        if not self.accept("("):
            self.at = start
            return False
        inside = self.inside()
        shown = f"offset({inside})"
        if sign == "-" or self.peek() not in (None, ("op", "+"), ("op", "-")):
            raise self.fail("an offset is a summand of its own", f"y ~ x + {shown}")
        if shown in self.offsets:
            raise self.fail(f"{shown} stands twice")
        expression = inside.replace("^", "**")
        _check(expression, self.where)
        self.offsets.append(self._atom(shown, expression))
        self.notes.append(
            f"{shown} has the coefficient 1: predictions and curves add it, residuals are without "
            "it, and means and contrasts are of the outcome less the offset"
        )
        return True

    def _summand(self, sign: str, fixed: list[Term], bars: list[_Bar]) -> None:
        start = self.at
        if self._offset(sign):
            return
        if self.accept("("):
            self.depth += 1
            terms = self.sum()
            bar = self.accept("|", "||")
            if bar:
                if sign == "-":
                    raise self.fail("a random term cannot be subtracted")
                self.depth -= 1
                if not terms:
                    raise self.fail("a random part without effects")
                bars.append((sorted(terms, key=len), factors(self), bar == "||"))
                self.expect(")")
                return
            self.at, self.depth = start, self.depth - 1
        product = self.product()
        _combine(fixed, product, sign, self.number)

    def sum(self) -> list[Term]:
        """Terms of a sum inside parentheses; a bar term's own sum starts with its intercept."""
        terms: list[Term] = []
        wrote_intercept: bool | None = None
        sign: str | None = self.accept("-") or "+"
        while sign:
            product = self.product()
            if self.number is not None:
                wrote_intercept = (self.number == 1) == (sign == "+")
            else:
                _combine(terms, product, sign, None)
            sign = self.accept("+", "-")
        is_bar = self.peek() in (("op", "|"), ("op", "||"))
        if wrote_intercept or (is_bar and wrote_intercept is None):
            terms.insert(0, ())
        self.number = None
        return terms

    def product(self) -> list[Term]:
        self.number = None
        terms = self.nested()
        while op := self.accept("*", "/"):
            right = self.nested()
            crossed = _cross(terms, right)
            self._note_itself(terms, right, op)
            if op == "*":
                terms = _union(terms, right, crossed)
            else:
                whole = tuple(dict.fromkeys(atom for term in terms for atom in term))
                terms = _union(terms, _cross([whole], right))
            self._bounded(terms)
        return terms

    def nested(self) -> list[Term]:
        """``a %in% b`` has the columns of ``a:b``, as in R."""
        terms = self.interaction()
        while self.accept("%in%"):
            terms = _cross(terms, self.interaction())
            self._bounded(terms)
        return terms

    def interaction(self) -> list[Term]:
        terms = self.power()
        while self.accept(":"):
            right = self.power()
            self._note_itself(terms, right, ":")
            terms = _cross(terms, right)
            self._bounded(terms)
        return terms

    def power(self) -> list[Term]:
        terms = self.atom()
        while self.accept("^", "**"):
            kind, number = self.take()
            if kind != "number" or not number.isdigit() or not 1 <= int(number) <= _MAX_POWER:
                raise self.fail(f"a power of terms must be a whole number from 1 to {_MAX_POWER}")
            base = terms
            if int(number) > 1 and len(base) == 1:
                self._note_itself(base, base, "^", number)
            for _ in range(int(number) - 1):
                terms = _union(terms, _cross(terms, base))
                self._bounded(terms)
        return terms

    def _note_itself(
        self, left: list[Term], right: list[Term], sign: str, number: str = "2"
    ) -> None:
        if len(left) == len(right) == 1 and left[0] and set(left[0]) == set(right[0]):
            self.notes.append(_of_itself(show(left[0]), sign, number))

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
            if self.text[self.at : self.at + 1].isidentifier():
                raise self.fail(f"unexpected {quote(self.text[self.at])}", self._odd_name())
            if token not in ("0", "1"):
                raise self.fail(f"the number {token} is no term", "0 and 1 switch the intercept")
            self.number = int(token)
            return []
        if kind == "op":
            raise self.fail(f"unexpected {quote(token)}")
        if kind == "name" and self.accept("("):
            return [(self._call(token),)]
        return [(self._atom(token, backquoted(token)),)]

    def _atom(self, shown: str, expression: str) -> str:
        if shown == INTERCEPT:
            raise self.fail(
                f"a column called {quote(shown)} cannot be told from the intercept", RENAME
            )
        if self.atoms.setdefault(shown, expression) != expression:
            raise self.fail(f"{quote(shown)} is both a column and a function of one", RENAME)
        return shown

    def _call(self, function: str) -> str:
        if function not in CALLS:
            hint = instead(function, CALLS)
            if function in expressions.SUMMARIES:
                hint = f"derive it, or write I({function}(x, by=group))"
            raise self.fail(f"unknown function {quote(function)}", hint)
        inside = self.inside()
        if function in BASES:
            return self._basis(function, inside)
        shown, coding = f"{function}({inside})", None
        comma = _last_comma(inside) if function in CATEGORY_CALLS else None
        if comma is not None:
            inside, coding = inside[:comma].strip(), inside[comma + 1 :]
        pure = function in PURE_CALLS
        expression = f"{function}({inside})" if pure else inside.replace("^", "**")
        _check(expression, self.where)
        if coding is not None:
            try:
                self.codings[shown] = codings.read(coding)
            except CodingError as error:
                raise self.fail(error.what, error.hint) from None
        return self._atom(shown, expression)

    def _basis(self, function: str, inside: str) -> str:
        """A call with an atom for each of its columns, named as R names them."""
        shown, text = f"{function}({inside})", inside.replace("^", "**")
        if not text:
            raise self.fail(f"{function}() of which variable", f"write {USAGE[function]}")
        _check(f"{function}({text}, column=1)", self.where)
        basis = expressions.basis_of(f"{function}({text}, column=1)")
        assert basis is not None
        self.bases[shown] = tuple(
            self._atom(f"{shown}{k}", f"{function}({text}, column={k})")
            for k in range(1, basis.n_columns + 1)
        )
        return shown


def _of_itself(term: str, sign: str, number: str) -> str:
    """A term crossed with itself is the term, as in R; its square may have been meant."""
    base = f"({term.replace(':', '*')})" if ":" in term else term
    shown = f"{term}^{number}" if sign == "^" else f"{term}{sign}{term}"
    return (
        f"{shown} crosses {term} with itself, which is {term} and no power of it: "
        f"write I({base}^{number}) for that"
    )


def _check(expression: str, where: str) -> None:
    try:
        expressions.check(expression, where)
    except ExpressionError as error:
        raise FormulaError(error.where, error.what, error.hint) from None


def _last_comma(text: str) -> int | None:
    """Where the last argument of a call begins: a comma outside parentheses and brackets."""
    depth, found = 0, None
    quoted = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
    for place, sign in enumerate(quoted.sub(lambda part: " " * len(part.group()), text)):
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and not depth:
            found = place
    return found


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
