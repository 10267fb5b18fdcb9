"""A family's members -> one table with adjusted p-values, and the rows that its figure draws."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedflow.artifacts import stored
from mixedflow.artifacts.fit_report import MemberReport
from mixedflow.config import families
from mixedflow.errors import FormulaError, ModelError, nearest, quote
from mixedflow.language.names import INTERCEPT, RESIDUAL
from mixedflow.prose import outcomes

if TYPE_CHECKING:
    import pandas as pd

    from mixedflow.config.families import Member
    from mixedflow.config.specs import FamilySpec


_FURTHER = ("n_groups", "sd_between")  # of each grouping factor
_OF_A_TERM = (
    "term", "estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high",
)  # fmt: skip


def table(spec: FamilySpec, folders: Mapping[str, Path]) -> pd.DataFrame:
    """One row a member and fixed effect, one a failed member, in the order of the members.

    ``folders`` are the members' own, by name. Columns: member; one for each thing that sets members
    apart (dataset, file, placeholders, subset); the rest of ``families.COLUMNS``. ``p_adjusted`` is
    over all rows of accepted fits. ``sd_between`` is that of the random intercept, or of the first
    random effect without one; ``icc`` is empty with a random slope. Of several grouping factors,
    ``n_groups`` and ``sd_between`` are those of the first, and each further one has its own. A
    marginal model has no ``sd_between``, and several residual variances no ``sd_residual``.

    Raises
    ------
    ModelError
        No member could be fitted.
    FormulaError
        No member has the fixed effect of ``term``.
    """
    import pandas as pd

    members = families.expand(spec)
    rows: list[dict[str, Any]] = []
    terms: list[str] = []
    for member in members:
        head = {"member": member.name, **dict(member.about)}
        failure = folders[member.name] / families.FAILURE
        if failure.exists():
            rows.append({**head, "failure": failure.read_text("utf-8").strip()})
            continue
        found, of_fit = _fitted(member, folders[member.name])
        terms += found["term"].tolist()
        kept = found[found["term"] == member.term if member.term else found["term"] != INTERCEPT]
        parts: list[dict[str, Any]] = kept.to_dict("records")  # type: ignore[assignment]
        if not parts:
            missing = f"no fixed effect {quote(member.term)}" if member.term else "no fixed effects"
            of_fit["failure"] = of_fit["failure"] or missing
        rows += [{**head, **of_fit, **part} for part in parts or [{}]]
    where = f"families.{spec.name}"
    if not terms:
        first = rows[0]
        raise ModelError(where, f"all members fail; {first['member']}: {first['failure']}")
    frame = pd.DataFrame(rows)
    if "term" not in frame:
        raise FormulaError(
            where,
            f"no member has the fixed effect {quote(spec.term)}"
            if spec.term
            else "no fixed effect besides the intercept",
            nearest(spec.term, dict.fromkeys(terms), "fixed effects") if spec.term else "add one",
        )
    about = [key for key, _ in members[0].about]
    columns = [name for name in families.COLUMNS if name in about or name not in families.APART]
    columns = _with_further(columns, list(map(str, frame.columns)))
    frame["p_adjusted"] = adjusted(frame, spec.adjust)
    order = ["member", *about, *(name for name in columns if name not in ("member", *about))]
    frame = frame.reindex(columns=order)
    texts = ["member", *about, "term", "converged", "singular", "failure", "caution"]
    return frame.fillna(dict.fromkeys(texts, "")).astype(dict.fromkeys(texts, "str"))


def _with_further(columns: Sequence[str], there: Sequence[str]) -> list[str]:
    """The columns with those of further grouping factors after those of the first."""
    found: list[str] = []
    for name in columns:
        further = [one for one in there if name in _FURTHER and one.startswith(f"{name}_")]
        found += [name, *further]
    return found


def _fitted(member: Member, folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A member's fixed effects, and what all of its rows say of the fit."""
    fit = MemberReport.read(folder / "fit.json")
    components = stored.read(folder / "variance_components.csv")
    sds = components[components["scale"] == "sd"]
    # With several residual variances there is no one SD.
    residual = sds[(sds["group"] == RESIDUAL) & (sds["term1"] == "")]
    sizes, spreads = {}, {}
    for g, group in enumerate(fit.groups):
        of = f"_{group.name}" if g else ""
        own = sds[sds["group"] == group.name]
        own = own.sort_values("term1", key=lambda t: t != INTERCEPT, kind="stable")
        sizes[f"n_groups{of}"] = group.n_groups
        spreads[f"sd_between{of}"] = _first(own)
    return stored.read(folder / "fixed_effects.csv")[list(_OF_A_TERM)], {
        "n_obs": fit.n_obs,
        **sizes,
        **spreads,
        "sd_residual": _first(residual),
        "icc": fit.icc.estimate if fit.icc else None,
        "converged": "yes" if fit.converged else "no",
        "singular": "yes" if fit.singular else "no",
        "failure": "" if fit.converged else "; ".join(fit.warnings),
        "caution": " ".join(_cautions(fit)) if fit.converged else "",
    }


def _first(components: pd.DataFrame) -> float | None:
    return float(components["estimate"].iloc[0]) if len(components) else None


def _cautions(fit: MemberReport) -> list[str]:
    """What is said of an accepted fit: its warnings, and what speaks against its outcome."""
    doubt = fit.outcome_doubt
    about = [outcomes.caution(fit.outcome, doubt)] if doubt else []
    return [*(f"{text.rstrip('.')}." for text in fit.warnings), *about]


def adjusted(frame: pd.DataFrame, method: str) -> np.ndarray:
    """(n,) p-values adjusted for their number, NaN where a row has none or its fit is no optimum.

    ``method`` is a name of statsmodels' multipletests.
    """
    from statsmodels.stats.multitest import multipletests

    p = frame["p_value"].to_numpy(dtype=float)
    used = np.isfinite(p) & (frame["converged"] == "yes").to_numpy()
    found = np.full(len(p), np.nan)
    if used.any():
        found[used] = multipletests(p[used], method=method)[1]
    return found


def drawn(frame: pd.DataFrame, spec: FamilySpec) -> pd.DataFrame:
    """The table with ``slot``, the fixed effect in words that all members share.

    A term that holds a placeholder's column is the same effect in every member: {predictor}. It is
    empty for a member that failed.
    """
    slots = []
    for row in frame.to_dict("records"):
        slot = str(row["term"])
        if slot and spec.term is not None:
            slot = spec.term
        elif slot:
            for key, _ in spec.columns:
                slot = re.sub(rf"\b{re.escape(str(row[key]))}\b", f"{{{key}}}", slot)
        slots.append(slot)
    return frame.assign(slot=slots)
