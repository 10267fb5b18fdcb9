"""A model with a residual structure as Stata's ``mixed`` and R's nlme are told it.

Names of columns come from strangers: what neither program would take for one name is not written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.language import residuals, terms
from mixedflow.language.formula import Parsed, Term
from mixedflow.language.names import INTERCEPT
from mixedflow.language.residuals import Residual, ResidualCorrelation, ResidualVariance

_STATA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_STATA_WORDS = frozenset(("if", "in", "using", "with", "_all", "_cons", "_n", "_N", "_b"))
_R_NAME = re.compile(r"(?:[A-Za-z]|\.(?!\d))[A-Za-z0-9._]*")
_R_WORDS = frozenset(
    ("if", "else", "repeat", "while", "function", "for", "next", "break", "in", "TRUE", "FALSE",
     "NULL", "Inf", "NaN", "NA")
)  # fmt: skip
_R_CALL = re.compile(r"(?:log|exp|sqrt)\([A-Za-z][A-Za-z0-9._]*\)|I\([\w\s.+*/^()-]+\)", re.ASCII)
_STATA_KINDS = {
    "ar1": "ar 1",
    "car1": "exponential",
    "exponential": "exponential",
    "exchangeable": "exchangeable",
    "toeplitz": "toeplitz",
    "unstructured": "unstructured",
}
_DF = {"satterthwaite": "satterthwaite", "kenward-roger": "kroger"}


class _UnwrittenError(Exception):
    """Why a program is not told the model."""


def lines(fit: ModelReport) -> list[str]:
    """What fits the same model in Stata and in R, or why it does not; nothing without R."""
    parsed = terms.parsed(fit.formula)
    if not fit.residual or parsed is None or len(fit.groups) != 1:
        return []
    spec = residuals.read(fit.residual, "residual")
    found = []
    for program, write in (("Stata", _stata), ("R (nlme)", _nlme)):
        try:
            told = write(fit, parsed, spec)
        except _UnwrittenError as why:
            told = [f"not there: {why}"]
        found += [f"The same model in {program}:", *(f"    {line}" for line in told)]
    return found


def _cluster(fit: ModelReport, parsed: Parsed) -> str:
    columns = parsed.groups[0].columns if parsed.groups else (fit.groups[0].name,)
    if len(columns) != 1:
        raise _UnwrittenError(f"the clusters of {fit.groups[0].name} need a column of their own")
    return columns[0]


# Stata


def _stata(fit: ModelReport, parsed: Parsed, spec: Residual) -> list[str]:
    structure = _stata_residuals(spec)
    _refuse_offset(parsed)
    fixed = [_stata_term(term, fit, parsed) for term in parsed.fixed_terms if term]
    without = "" if () in parsed.fixed_terms else ", noconstant"
    start = " ".join(["mixed", _stata_name(parsed.outcome), *fixed]) + without
    options = ["noconstant"] if INTERCEPT not in fit.random_terms else []
    options += ["covariance(unstructured)"] if fit.correlated else []
    options += [structure, "reml" if fit.method == "reml" else "mle"]
    if fit.inference["df"] in _DF:
        options.append(f"dfmethod({_DF[fit.inference['df']]})")
    slopes = [_stata_name(term) for term in fit.random_terms if term != INTERCEPT]
    bar = " ".join([f"|| {_stata_name(_cluster(fit, parsed))}:", *slopes])
    return [f"{start} ///", f"    {bar}, {' '.join(options)}"]


def _refuse_offset(parsed: Parsed) -> None:
    if parsed.offsets:
        raise _UnwrittenError("an offset has to be subtracted from the outcome")


def _stata_name(name: str) -> str:
    if not _STATA_NAME.fullmatch(name) or name in _STATA_WORDS:
        raise _UnwrittenError(f"{name} is no name of a variable")
    return name


def _stata_term(term: Term, fit: ModelReport, parsed: Parsed) -> str:
    """``x``, ``i.type`` or ``c.x#i.type``."""
    split = terms.split(fit.fixed_terms, parsed)
    levelled = {f.name for factors in split.values() for f in factors if f.level is not None}
    parts = []
    for atom in term:
        name = _stata_name(_category(atom) or atom)
        factor = atom in levelled or _category(atom) is not None
        parts.append(f"i.{name}" if factor else name if len(term) == 1 else f"c.{name}")
    return "#".join(parts)


def _category(atom: str) -> str | None:
    """The column of ``C(x)``."""
    match = re.fullmatch(r"(?:C|factor)\(\s*(\w+)\s*\)", atom)
    return match[1] if match else None


def _stata_residuals(spec: Residual) -> str:
    correlation, variance = spec.correlation, spec.variance
    if variance is not None and variance.kind != "by":
        raise _UnwrittenError("mixed has no residual variance that depends on a number")
    if correlation is not None and correlation.nugget:
        raise _UnwrittenError("mixed has no nugget")
    if correlation is None:
        assert variance is not None
        return f"residuals(independent, by({_stata_name(variance.over)}))"
    if variance is not None:
        raise _UnwrittenError("by() of mixed gives each group its own correlation too")
    kind = _STATA_KINDS[correlation.kind]
    over = f", t({_stata_name(correlation.over)})" if correlation.over else ""
    return f"residuals({kind}{over})"


# R


def _nlme(fit: ModelReport, parsed: Parsed, spec: Residual) -> list[str]:
    cluster = _r_name(_cluster(fit, parsed))
    _refuse_offset(parsed)
    fixed = f"{_r_atom(parsed.outcome)} ~ {_r_terms(parsed.fixed_terms)}"
    options = []
    if parsed.random_terms:
        inner = f"~ {_r_terms(t for block in parsed.blocks for t in block.terms)}"
        random = f"{inner} | {cluster}"
        if len(parsed.blocks) > 1:
            if any(len(block.terms) > 1 for block in parsed.blocks):
                raise _UnwrittenError("blocks of random effects need pdBlocked by hand")
            random = f"list({cluster} = pdDiag({inner}))"
        options.append(f"random = {random}")
    if spec.correlation is not None:
        options.append(f"correlation = {_r_correlation(spec.correlation, fit, cluster)}")
    weights = _r_variance(spec)
    options += [f"weights = {weights}"] if weights else []
    options.append(f'method = "{fit.method.upper()}"')
    options += ["na.action = na.omit"] if fit.n_missing else []
    call = "nlme::lme" if parsed.random_terms else "nlme::gls"
    head = f"{call}({fixed}, data = {_r_name(fit.dataset)},"
    return [head, *(f"    {option}," for option in options[:-1]), f"    {options[-1]})"]


def _r_name(name: str) -> str:
    if _R_NAME.fullmatch(name) and name not in _R_WORDS:
        return name
    if "`" in name or "\\" in name or not name.isprintable():
        raise _UnwrittenError(f"{name} is no name of a column")
    return f"`{name}`"


def _r_atom(atom: str) -> str:
    """A covariate as R writes it: ``factor(x)`` for ``C(x)``, the same for a logarithm."""
    if category := _category(atom):
        return f"factor({_r_name(category)})"
    if _R_CALL.fullmatch(atom):
        return atom.replace("**", "^")
    if re.match(r"\w+\(", atom):
        raise _UnwrittenError(f"{atom} needs a column of its own")
    return _r_name(atom)


def _r_terms(found: Iterable[Term]) -> str:
    every = list(found)
    written = [":".join(map(_r_atom, term)) for term in every if term]
    return " + ".join([*(() if () in every else ("0",)), *written]) or "1"


def _r_correlation(found: ResidualCorrelation, fit: ModelReport, cluster: str) -> str:
    form = f"form = ~ {_r_name(found.over) if found.over else '1'} | {cluster}"
    match found.kind:
        case "ar1":
            return f"corAR1({form})"
        case "car1":
            return f"corCAR1({form})"
        case "exchangeable":
            return f"corCompSymm({form})"
        case "toeplitz":
            return f"corARMA({form}, p = {_lags(fit)})"
        case "unstructured":
            return f"corSymm({form})"
    return f"corExp({form}{', nugget = TRUE' if found.nugget else ''})"


def _lags(fit: ModelReport) -> int:
    """Distances of a Toeplitz correlation: one for each parameter that nothing else has."""
    own = len(fit.fixed_terms) + 1
    random = sum(
        len(g.random_terms) * (len(g.random_terms) + 1) // 2
        if g.correlated
        else len(g.random_terms)
        for g in fit.groups
    )
    variance = residuals.read(fit.residual or {}, "residual").variance
    slope = 1 if variance is not None and variance.kind != "by" else 0
    if variance is not None and variance.kind == "by":
        raise _UnwrittenError("the order of its correlation is the number of visits less one")
    return fit.n_parameters - own - random - slope


def _r_variance(spec: Residual) -> str:
    functions = {"by": "varIdent(form = ~ 1 | {})", "power": "varPower(form = ~ {})"}
    functions["exponential"] = "varExp(form = ~ {})"
    variance: ResidualVariance | None = spec.variance
    if spec.correlation is not None and spec.correlation.kind == "unstructured":
        return functions["by"].format(_r_name(spec.correlation.over or ""))
    return functions[variance.kind].format(_r_name(variance.over)) if variance else ""
