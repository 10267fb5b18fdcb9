"""One mean model under several covariance structures: what each says, and what fits it best."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow.analysis.residual_structure import times
from mixedflow.arrays import Array
from mixedflow.config.specs import StructureSpec, StructuresSpec
from mixedflow.errors import (
    ComparisonError,
    DataError,
    FormulaError,
    MixedflowError,
    ModelError,
    nearest,
    quote,
    unexpected,
)
from mixedflow.inference import over_time
from mixedflow.inference.comparison import lr_test
from mixedflow.inference.fixed import contrasts
from mixedflow.inference.implied import implied
from mixedflow.inference.results import Reporting, Results, known_df
from mixedflow.language.contrasts import parse as parse_contrast
from mixedflow.language.formula import Parsed, parse
from mixedflow.language.names import RESIDUAL, level_name
from mixedflow.language.residuals import bounds
from mixedflow.model.atoms import levels_in_use
from mixedflow.model.design import design
from mixedflow.model.estimation import estimate
from mixedflow.model.nesting import Candidate, check_nested
from mixedflow.prose.residual_parts import vague
from mixedflow.prose.structures import described

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

COLUMNS = (
    "structure", "description", "n_obs", "n_parameters", "log_likelihood", "aic", "bic", "aicc",
    "delta_aic", "against", "statistic", "df", "p_value", "distribution", "effect", "estimate",
    "std_error", "effect_df", "conf_low", "conf_high", "converged", "singular", "caution",
    "failure",
)  # fmt: skip
_TEXTS = (
    "structure", "description", "against", "distribution", "effect", "converged", "singular",
    "caution", "failure",
)  # fmt: skip
_SCALES = {"sd": "the SD", "range": "the range", "nugget": "the nugget"}
DATA = "data"  # what the rows themselves say, among what structures imply


@dataclass(frozen=True)
class _Tried:
    """A structure that was fitted: the fit, and its row of the table so far."""

    name: str
    results: Results
    row: dict[str, Any]

    @property
    def candidate(self) -> Candidate:
        return Candidate.fitted(self.name, self.results.fitted)


@dataclass(frozen=True)
class Structures:
    """``table`` has a row a structure (COLUMNS), from few parameters to many, failed ones last.

    ``course`` is what the rows (``structure`` = DATA) and each structure say of variance and
    correlation over time, as :mod:`mixedflow.inference.over_time` has it; None without a time.
    """

    table: pd.DataFrame
    course: pd.DataFrame | None

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables that are artifacts, by the name of their file."""
        if self.course is None:
            return {"structures": self.table}
        return {"structures": self.table, "structures_course": self.course}


def structures(spec: StructuresSpec, frame: pd.DataFrame) -> Structures:
    """Fit every structure of ``spec`` to the same rows of ``frame``.

    One that cannot be fitted keeps the others, and its row says why.

    Raises
    ------
    FormulaError, DataError
        What is wrong with the mean model, the effect of interest or the rows.
    ModelError
        No structure can be fitted.
    """
    import pandas as pd

    rows = complete(spec, frame)
    weights = effect_weights(spec, rows)
    tried: list[_Tried] = []
    failed: list[dict[str, Any]] = []
    for one in spec.fits:
        head = _head(spec, one)
        found = _one(spec, one, rows, weights)
        if isinstance(found, str):
            failed.append({**head, "failure": found})
        else:
            tried.append(_Tried(one.name, found[0], head | found[1]))
    if not tried:
        first = failed[0]
        what = f"all structures fail; {first['structure']}: {first['failure']}"
        raise ModelError(f"structures.{spec.name}", what)
    tried.sort(key=lambda one: (one.results.n_parameters, one.name))
    lowest = min((one.row["aic"] for one in tried if one.results.converged), default=np.nan)
    for each in tried:
        apart = each.row["aic"] - lowest if each.results.converged else np.nan
        each.row.update({"delta_aic": apart, **_test(each, tried)})
    table = pd.DataFrame([*(each.row for each in tried), *failed]).reindex(columns=list(COLUMNS))
    texts = table.astype(dict.fromkeys(_TEXTS, object)).fillna(dict.fromkeys(_TEXTS, ""))
    return Structures(texts.astype(dict.fromkeys(_TEXTS, "str")), _course(spec, tried))


def complete(spec: StructuresSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that every structure can use: likelihoods compare on the same ones only.

    Raises
    ------
    DataError
        None is left.
    """
    used = set[str]()
    for one in spec.fits:
        used |= _parsed(spec, one).variables
        used |= set(one.residual.variables) if one.residual else set()
    there = frame[[name for name in frame.columns if name in used]].notna().all(axis=1)
    if not there.any():
        raise DataError(f"structures.{spec.name}", "no row has a value in all columns used")
    return frame if there.all() else frame[there].reset_index(drop=True)


def _where(spec: StructuresSpec, one: StructureSpec) -> str:
    return f"structures.{spec.name}.fits.{one.name}.formula"


def _parsed(spec: StructuresSpec, one: StructureSpec) -> Parsed:
    found = parse(spec.text(one), _where(spec, one))
    return found.in_clusters(spec.cluster) if one.residual is not None else found


def _head(spec: StructuresSpec, one: StructureSpec) -> dict[str, Any]:
    return {
        "structure": one.name,
        "description": described(_parsed(spec, one), one.residual),
        "effect": spec.effect,
    }


def _one(
    spec: StructuresSpec, one: StructureSpec, rows: pd.DataFrame, weights: Array | None
) -> tuple[Results, dict[str, Any]] | str:
    """A structure's fit and what the table says of it, or in one line why there is none."""
    try:
        results = _fitted(spec, one, rows)
        return results, _row(results) | _effect(results, weights)
    except MixedflowError as error:
        return str(error).removeprefix(f"structures.{spec.name}.fits.{one.name}.")
    except (MemoryError, OSError):
        raise  # it is the machine, and another run may do better
    except Exception as error:
        # Not of a user's making, and still no reason to lose the other structures.
        logger.exception("structures.%s.fits.%s", spec.name, one.name)
        return unexpected(error)


def _fitted(spec: StructuresSpec, one: StructureSpec, rows: pd.DataFrame) -> Results:
    """A structure's fit; raises what fitting it raises, and for rows that it cannot use."""
    where, reporting = _where(spec, one), Reporting(df=known_df(spec.df))
    reporting.check(spec.method, where, one.residual)
    text, cluster = spec.text(one), spec.cluster
    fitted = estimate(text, rows, spec.method, where, one.residual, cluster)
    found = Results(fitted, reporting)
    if found.n_obs < len(rows):
        left_out = f"{len(rows) - found.n_obs} of {len(rows)} rows have no value of its terms"
        raise DataError(where, f"{left_out}, which other structures use", "filter them")
    return found


def _row(results: Results) -> dict[str, Any]:
    report = results.report()
    k, n = report.n_parameters, report.n_obs
    aicc = -2.0 * report.log_likelihood + 2.0 * k * n / (n - k - 1) if n > k + 1 else np.nan
    return {
        "n_obs": n,
        "n_parameters": k,
        "log_likelihood": report.log_likelihood,
        "aic": report.aic,
        "bic": report.bic,
        "aicc": aicc,
        "converged": "yes" if report.converged else "no",
        "singular": "yes" if report.singular else "no",
        "caution": " ".join(_cautions(results)),
    }


def _cautions(results: Results) -> list[str]:
    """The fit's warnings, or what is weakly known where it has none."""
    if results.warnings:
        return [f"{text.rstrip('.')}." for text in results.warnings]
    weak = _weak(results)
    if weak:
        return [
            f"Weakly identified: {', '.join(weak)} (95% interval over more than a factor of ten)."
        ]
    evidence = results.evidence
    return [str(evidence["diagnosis"])] if evidence["next_step"] else []


def _weak(results: Results) -> list[str]:
    """Standard deviations, ranges and nuggets that other values could well be instead of."""
    found = []
    for row in results.variance_components.to_dict("records"):
        if row["scale"] in ("sd", "range", "nugget") and vague(_known(row)):
            whose = (
                row["term1"] if row["group"] == RESIDUAL else f"{row['term1']} by {row['group']}"
            )
            found.append(f"{_SCALES[row['scale']]} of {whose}")
    return found


def _known(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """A row of a table, None for what is missing."""
    return {str(name): None if value != value else value for name, value in row.items()}


def _effect(results: Results, weights: Array | None) -> dict[str, Any]:
    if weights is None:
        return {}
    how = results.reporting
    found = contrasts(results.small_sample, weights[None], how.df, profiled=False).iloc[0]
    names = ("estimate", "std_error", "conf_low", "conf_high")
    return {"effect_df": found["df"], **{name: found[name] for name in names}}


def effect_weights(spec: StructuresSpec, rows: pd.DataFrame) -> Array | None:
    """(p,) the effect of interest on the fixed effects; None where none is asked for.

    Raises
    ------
    FormulaError, DataError
        A mean model that cannot be computed of ``rows``, a coefficient that it does not have, or a
        contrast of none.
    """
    where = f"structures.{spec.name}"
    parsed = parse(spec.formula, f"{where}.formula").in_clusters(spec.cluster)
    terms = design(parsed, rows, f"{where}.formula").terms
    if spec.effect is None:
        return None
    weights = parse_contrast(spec.effect, terms, f"{where}.effect")
    if not weights.any():
        raise FormulaError(f"{where}.effect", "a contrast that is 0 whatever the coefficients")
    return weights


def _test(one: _Tried, tried: Sequence[_Tried]) -> dict[str, Any]:
    """The likelihood-ratio test against the largest structure that is nested in ``one``."""
    smaller = [other for other in tried if other.results.n_parameters < one.results.n_parameters]
    for other in sorted(smaller, key=_size, reverse=True):
        try:
            check_nested(other.candidate, one.candidate, "structures")
        except ComparisonError:
            continue
        return _tested(other.results, one.results) | {"against": other.name}
    return {"distribution": "none of the others is nested in it"}


def _size(one: _Tried) -> tuple[int, float]:
    return one.results.n_parameters, one.results.log_likelihood


def _tested(null: Results, alternative: Results) -> dict[str, Any]:
    if not (null.converged and alternative.converged):
        return {"distribution": "no test: a fit is not accepted as an optimum"}
    df = alternative.n_parameters - null.n_parameters
    statistic = max(0.0, 2.0 * (alternative.log_likelihood - null.log_likelihood))
    added = len(alternative.random_terms) - len(null.random_terms)
    one, other = (fit.fitted.residuals for fit in (null, alternative))
    ended = bounds(one.spec if one else None, other.spec if other else None)
    p_value, distribution = lr_test(statistic, df, added, True, ended)
    return {"statistic": statistic, "df": df, "p_value": p_value, "distribution": distribution}


def _course(spec: StructuresSpec, tried: Sequence[_Tried]) -> pd.DataFrame | None:
    """What the least-squares residuals say over time, and what each structure implies there.

    Of the rows whose time is known, which all structures need not use.

    Raises
    ------
    FormulaError, DataError
        No such column, or no row with a value of it.
    """
    import pandas as pd

    where, fitted = f"structures.{spec.name}", tried[0].results.fitted
    if spec.time is None or fitted.frame is None:
        return None
    if spec.time not in fitted.frame.columns:
        hint = nearest(spec.time, list(fitted.frame.columns))
        raise FormulaError(where, f"unknown variable {quote(spec.time)}", hint)
    time = times(fitted.frame[spec.time])
    if not np.isfinite(time).any():
        raise DataError(where, f"no row has a value of {quote(spec.time)}")
    codes = pd.factorize(fitted.frame[spec.cluster])[0].astype(np.int64)
    of, rows = over_time.course(codes, time, *_visits(spec, fitted.frame))
    left = fitted.y - fitted.X @ np.linalg.lstsq(fitted.X, fitted.y, rcond=None)[0]
    parts = [over_time.empirical(of, left[rows]).assign(structure=DATA)]
    for one in tried:
        # Rows that are alike by several factors, or by clusters of another, have no one course.
        if [group.name for group in one.results.groups] == [spec.cluster]:
            found = implied(one.results.fitted, of, rows)
            parts.append(found.assign(structure=one.name))
    whole = pd.concat(parts, ignore_index=True)
    return whole[["structure", *(name for name in whole.columns if name != "structure")]]


def _visits(spec: StructuresSpec, frame: pd.DataFrame) -> tuple[Array | None, tuple[str, ...]]:
    """(N,) the rows' visits: numbers, or places among names."""
    import pandas as pd

    if spec.visit is None or spec.visit not in frame.columns:
        return None, ()
    values = frame[spec.visit]
    if pd.api.types.is_numeric_dtype(values.dtype):
        return times(values), ()
    levels = levels_in_use(values.dropna())
    names = values.astype(object).map(level_name, na_action="ignore")
    places = pd.Categorical(names, levels).codes
    return np.where(places < 0, np.nan, places.astype(float)), tuple(levels)
