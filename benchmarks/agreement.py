"""The same analysis told in another way: cases for fuzz.py where the right answer is known.

The models of a case of meanings.py are fitted as they are, and again where nothing may change
(shuffled rows, other labels of clusters, other names, a copy of a column, incomplete rows more,
the file as CSV) or all changes by a known factor (units). What a fit says is held against the
likelihood by covariance matrices of clusters, and against itself.
"""

from __future__ import annotations

import copy
import json
import random
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import meanings
import numpy as np
import pandas as pd
from scipy import stats

from mixedflow.analysis.model import ModelResult, fit_model
from mixedflow.analysis.ranking import League, rank_model
from mixedflow.arrays import Array
from mixedflow.config import reading
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import load, save
from mixedflow.data.sources import read_source
from mixedflow.errors import MixedflowError
from mixedflow.ranking.posterior import Posterior

PLAIN = {"g", "t", "x", "z", "y", "f"}
LIKE = 1e-2  # part of a standard error that two searches may end apart
Found = tuple[ModelResult, League | None]


@dataclass(frozen=True)
class Told:
    """A case in other words, and by what its numbers may differ.

    ``labels`` new names of clusters by the old ones; ``y`` and ``x`` factors of the outcome's unit
    and of a covariate's; ``may_refuse``: files or names that cannot be read are no fault.
    """

    frame: pd.DataFrame
    config: dict[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    y: float = 1.0
    x: float = 1.0
    scaled: str = ""
    kind: str = "parquet"
    may_refuse: bool = False


def try_agreement(seed: int) -> None:
    frame, config = _case(seed)
    draw = random.Random(f"agreement {seed}")
    found = {name: computed(frame, part) for name, part in _parts(config).items()}
    for result in found.values():
        if not isinstance(result, MixedflowError):
            check_fit(result[0])
            if result[1] is not None:
                check_ranking(result[1])
    for tell in draw.sample(WAYS, min(3, len(WAYS))):
        told = tell(frame, config, draw, seed)
        if told is None:
            continue
        for name, part in _parts(told.config).items():
            other = computed(told.frame, part, told.kind)
            try:
                agree(found[name], other, told)
            except AssertionError as error:
                raise AssertionError(f"{tell.__name__[1:]}, {name}: {error}") from None
    refused = [result for result in found.values() if isinstance(result, MixedflowError)]
    if len(refused) == len(found):
        raise refused[0]


def _case(seed: int, plain: bool = False) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A case without what no model depends on, and without numbers that are drawn."""
    frame, config = meanings.case(seed, plain)
    for key in ("explore", "labels", "title"):
        config["datasets"]["d"].pop(key, None)
    for model in config["models"].values():
        inference = model.get("inference", {})
        inference.pop("contrasts", None)
        if inference.get("intervals") != "wald":
            inference["intervals"] = "wald"
        for key in ("highlight", "pairs", "beside"):
            model.get("rank", {}).pop(key, None)
    return frame, {"datasets": config["datasets"], "models": config["models"]}


def _parts(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {**config, "models": {"m": model}} for name, model in config["models"].items()}


def computed(
    frame: pd.DataFrame, config: dict[str, Any], kind: str = "parquet"
) -> Found | MixedflowError:
    """The one model of a configuration, from the file to its ranking; or the line that refuses."""
    config = copy.deepcopy(config)
    config["datasets"]["d"]["source"] = {"file": f"d.{kind}"}
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            getattr(frame, f"to_{kind}")(folder / f"d.{kind}", index=False)
            settings = reading.load(config)
            dataset, spec = settings.datasets["d"], settings.models["m"]
            raw = read_source(dataset.source, folder, folder / "downloads", "d")
            save(prepare(dataset, raw), folder / "p.parquet", folder / "p.json")
            result = fit_model(spec, load(folder / "p.parquet", folder / "p.json"), dataset)
        league = None
        if spec.rank is not None:
            league = rank_model(spec.rank, Posterior.of(result.posterior), result.report)
        return result, league
    except MixedflowError as error:
        return error


# What must hold of any result


def check_fit(result: ModelResult) -> None:
    """Tests by their definitions; likelihood and effects by covariance matrices of the clusters."""
    fixed = result.tables["fixed_effects"]
    df = fixed["df"].fillna(np.inf).to_numpy(float)
    statistic = (fixed["estimate"] / fixed["std_error"]).to_numpy(float)
    p = 2.0 * stats.t.sf(np.abs(statistic), df)
    _close(fixed["p_value"], p, 1e-8 + 1e-6 * p, "p of an estimate and its error")
    fit, solution = result.fit.fitted, result.fit.fitted.solution
    (group,), (G,), s2 = fit.groups, solution.G, solution.s2
    size = np.abs(fit.X).max(axis=0)
    far = np.concatenate([size, np.abs(group.Z).max(axis=0), [np.abs(fit.y).max(), fit.y.std()]])
    drowned = (
        np.linalg.cond(fit.X / size) > 1e5 or np.linalg.cond(group.Z / far[len(size) : -2]) > 1e3
    )
    if (
        not result.report.converged
        or len(fit.y) > 1500
        or far.max() > 1e4
        or far.min() < 1e-4
        or drowned
    ):
        return  # a plain sum of squares has too few digits
    log_likelihood, beta, u = by_matrices(fit.y, fit.X, group, G, s2, fit.method == "reml")
    error = np.sqrt(np.diag(solution.phi))
    _close(result.report.log_likelihood, log_likelihood, 1e-5, "log-likelihood")
    _close(solution.beta, beta, 1e-4 * error, "fixed effects by GLS")
    scale = np.sqrt(np.diag(G)) + 1e-6 * np.sqrt(s2)
    _close(solution.effects[0].u, u, 1e-3 * scale, "EB effects")
    for a, b in ((1.02, 1.0), (0.98, 1.0), (1.0, 1.02), (1.0, 0.98)):
        moved = by_matrices(fit.y, fit.X, group, a * G, b * s2, fit.method == "reml")[0]
        assert moved < log_likelihood + 1e-6, f"a higher likelihood is near: {moved}"


def by_matrices(
    y: Array, X: Array, group: Any, G: Array, s2: float, reml: bool
) -> tuple[float, Array, Array]:
    """Log-likelihood, GLS and EB effects, a cluster's covariance matrix at a time."""
    p, log_det, parts = X.shape[1], 0.0, []
    F = np.column_stack([X, y])
    S = np.zeros((p + 1, p + 1))
    for j in range(len(group.labels)):
        rows = group.codes == j
        Z = group.Z[rows]
        V = Z @ G @ Z.T + s2 * np.eye(len(Z))
        solved = np.linalg.solve(V, F[rows])
        log_det += np.linalg.slogdet(V)[1]
        S += F[rows].T @ solved
        parts.append(G @ Z.T @ solved)
    beta = np.linalg.solve(S[:p, :p], S[:p, p])
    n = len(y) - (p if reml else 0)
    deviance = n * np.log(2.0 * np.pi) + log_det + S[p, p] - S[p, :p] @ beta
    if reml:
        deviance += np.linalg.slogdet(S[:p, :p])[1]
    return -0.5 * deviance, beta, np.array([part @ np.append(-beta, 1.0) for part in parts])


def check_ranking(league: League) -> None:
    table, n = league.tables["ranking"], len(league.tables["ranking"])
    assert np.isfinite(table["estimate"]).all(), "an estimate that is no number"
    total = table["expected_rank"].sum()
    assert abs(total - n * (n + 1) / 2) < 0.05 * n, f"expected ranks of {n} add up to {total}"
    top, p = league.verdict["top"], table["p_top"].sum()
    assert abs(p - top) <= 0.005 * n + 1e-6, f"probabilities of the best {top} add up to {p}"
    for low, high in (
        ("conf_low", "estimate"),
        ("estimate", "conf_high"),
        ("rank_low", "rank_high"),
    ):
        assert (table[low] <= table[high]).all(), f"{low} above {high}"
    order = np.argsort(table["rank"].to_numpy(), kind="stable")
    estimates = table["estimate"].to_numpy()[order] * (1 if league.verdict["best"] == "low" else -1)
    assert (np.diff(estimates) >= -1e-6 * np.abs(estimates).max(initial=0)).all(), (
        "ranks in no order"
    )


# Whether two results are the same


def agree(one: Found | MixedflowError, other: Found | MixedflowError, told: Told) -> None:
    if isinstance(one, MixedflowError) or isinstance(other, MixedflowError):
        both = isinstance(one, MixedflowError) and isinstance(other, MixedflowError)
        allowed = told.may_refuse and isinstance(other, MixedflowError)
        assert both or allowed, f"refused in one of two ways: {_line(one)} / {_line(other)}"
        return
    (mine, league), (theirs, moved) = one, other
    a, b = mine.report, theirs.report
    assert (a.n_obs, a.n_parameters) == (b.n_obs, b.n_parameters), "another number of rows or terms"
    reml = a.method == "reml"
    lost = (a.n_obs - (len(a.fixed_terms) if reml else 0)) * np.log(told.y)
    if told.scaled and reml:
        lost += np.log(told.x) * sum(bool(_word(told.scaled, term)) for term in a.fixed_terms)
    expected = a.log_likelihood - lost
    _close(b.log_likelihood, expected, 1e-6 * (1 + abs(expected)), "log-likelihood")
    if not (a.converged and b.converged) or a.singular or b.singular:
        return  # on the boundary the parameters of one likelihood are many
    _agree_fixed(mine.tables["fixed_effects"], theirs.tables["fixed_effects"], told)
    if not told.scaled:
        _agree_variances(mine, theirs, told)
        _agree_effects(mine, theirs, told)
    assert (league is None) == (moved is None), "ranked in one of two ways"
    if league is not None and moved is not None:
        labels = told.labels if a.groups[0].name == "g" else {}
        _agree_ranking(league.tables["ranking"], moved.tables["ranking"], labels, told)


def _agree_fixed(a: pd.DataFrame, b: pd.DataFrame, told: Told) -> None:
    if not told.scaled:
        error = told.y * a["std_error"]
        _close(b["estimate"], told.y * a["estimate"], LIKE * error, "fixed effects")
        _close(b["std_error"], error, LIKE * error, "standard errors")
    near = LIKE * (1 + a["statistic"].abs())
    _close(b["statistic"], a["statistic"], near, "statistics")
    _close(b["df"].fillna(0), a["df"].fillna(0), 0.02 * a["df"].fillna(0), "degrees of freedom")


def _agree_variances(mine: ModelResult, theirs: ModelResult, told: Told) -> None:
    a, b = mine.tables["variance_components"], theirs.tables["variance_components"]
    assert list(a["scale"]) == list(b["scale"]), "other components"
    sd = (a["scale"] == "sd").to_numpy()
    wanted = told.y * a["estimate"][sd]
    _close(b["estimate"][sd], wanted, LIKE * wanted, "standard deviations")


def _agree_effects(mine: ModelResult, theirs: ModelResult, told: Told) -> None:
    labels = told.labels if mine.report.groups[0].name == "g" else {}
    a, b = (
        table.assign(k=table.groupby("cluster").cumcount()).set_index(["cluster", "k"])
        for table in (mine.tables["cluster_effects"], theirs.tables["cluster_effects"])
    )
    a = a.rename(index=lambda name: labels.get(name, name), level=0)
    assert set(a.index) == set(b.index), (
        f"other clusters: {sorted(set(a.index) ^ set(b.index))[:4]}"
    )
    b = b.loc[a.index]
    error = told.y * a["se_comparative"]
    _close(b["estimate"], told.y * a["estimate"], 2 * LIKE * error, "EB effects")
    _close(b["se_comparative"], error, 2 * LIKE * error, "their errors")
    _close(b["reliability"], a["reliability"], LIKE, "reliabilities")


def _agree_ranking(a: pd.DataFrame, b: pd.DataFrame, labels: Mapping[str, str], told: Told) -> None:
    a, b = a.set_index("cluster"), b.set_index("cluster")
    b = b.loc[[labels.get(name, name) for name in a.index]]
    spread = 0.02 * (1 + len(a) ** 0.5)
    _close(b["expected_rank"], a["expected_rank"], spread, "expected ranks")
    _close(b["p_top"], a["p_top"], 0.035, "probabilities of the top")
    if not told.scaled and told.y == 1.0:
        unit = LIKE * (a["conf_high"] - a["conf_low"])
        _close(b["estimate"], a["estimate"], unit, "ranked estimates")


def _close(found: Any, wanted: Any, within: Any, what: str) -> None:
    found, wanted = np.asarray(found, dtype=float), np.asarray(wanted, dtype=float)
    assert found.shape == wanted.shape, f"{what}: {found.shape} and {wanted.shape}"
    missing = np.isnan(wanted)
    assert (np.isnan(found) == missing).all(), f"{what}: missing in one of two"
    with np.errstate(invalid="ignore"):
        off = (
            ~((found == wanted) | (np.abs(found - wanted) <= np.asarray(within, float))) & ~missing
        )
    if off.any():
        at = np.unravel_index(np.argmax(off), off.shape)
        raise AssertionError(
            f"{what}: {found[at]!r} instead of {wanted[at]!r} ({off.sum()} differ)"
        )


def _line(found: Found | MixedflowError) -> str:
    return str(found)[:200] if isinstance(found, MixedflowError) else "a result"


def _word(name: str, text: str) -> re.Match[str] | None:
    return re.search(rf"\b{name}\b", text)


# Other ways of telling the same


Way = Callable[[pd.DataFrame, dict[str, Any], random.Random, int], Told | None]


def _shuffled(
    frame: pd.DataFrame, config: dict[str, Any], draw: random.Random, seed: int
) -> Told | None:
    if "first_per" in config["datasets"]["d"]:
        return None
    moved = frame.sample(frac=1.0, random_state=seed % 2**31).reset_index(drop=True)
    columns = [*moved.columns, "of no use"]
    moved["of no use"] = [draw.choice(["a", "b", None]) for _ in range(len(moved))]
    return Told(moved[draw.sample(columns, len(columns))], config)


def _relabelled(
    frame: pd.DataFrame, config: dict[str, Any], draw: random.Random, seed: int
) -> Told | None:
    old = [str(label).strip() for label in frame["g"].unique()]
    known = list(dict.fromkeys(old))
    labels = dict(
        zip(known, draw.sample([f"c{k}" for k in range(len(known))], len(known)), strict=True)
    )
    names = [labels[str(label).strip()] for label in frame["g"]]
    return Told(frame.assign(g=names), config, labels=labels)


def _renamed(
    frame: pd.DataFrame, config: dict[str, Any], draw: random.Random, seed: int
) -> Told | None:
    """Names that look alike, the other way round: what runs with them is as with plain ones."""
    if set(frame.columns) == PLAIN:
        return None
    return Told(*_case(seed, plain=True), may_refuse=True)


def _in_other_units(
    frame: pd.DataFrame, config: dict[str, Any], draw: random.Random, seed: int
) -> Told | None:
    right = [model["formula"].partition("~")[2] for model in config["models"].values()]
    said = json.dumps([right, config["datasets"]])
    outcomes = {model["formula"].partition(" ~")[0] for model in config["models"].values()}
    if set(frame.columns) != PLAIN or outcomes != {"y"} or _word("y", said) or _far(frame["y"]):
        return None
    unit = 2.0 ** draw.choice([-60, -20, -3, 3, 20, 60])
    return Told(frame.assign(y=unit * frame["y"]), config, y=unit)


def _covariate_in_other_units(
    frame: pd.DataFrame, config: dict[str, Any], draw: random.Random, seed: int
) -> Told | None:
    said = json.dumps([model["formula"] for model in config["models"].values()])
    bent = re.search(r"(cut|log|C|I)\([^()]*\bx\b", said)
    outcomes = {model["formula"].partition(" ~")[0] for model in config["models"].values()}
    if set(frame.columns) != PLAIN or bent or outcomes != {"y"} or _far(frame["x"]):
        return None
    if _word("x", json.dumps(config["datasets"])):
        return None
    unit = 2.0 ** draw.choice([-20, -3, 3, 20])
    config = copy.deepcopy(config)
    for model in config["models"].values():
        at = model.get("rank", {}).get("by")
        if isinstance(at, dict) and "x" in at["at"]:
            at["at"]["x"] *= unit
    return Told(frame.assign(x=unit * frame["x"]), config, x=unit, scaled="x")


def _far(values: pd.Series) -> bool:
    """Whether units can decide what squares no float holds."""
    size = values[values != 0].abs().astype(float)
    return bool(size.empty or size.max() > 1e12 or size.max() < 1e-12 or size.min() < 1e-30)


def _with_incomplete_rows(
    frame: pd.DataFrame, config: dict[str, Any], draw: random.Random, seed: int
) -> Told | None:
    dataset = config["datasets"]["d"]
    outcomes = {model["formula"].partition(" ~")[0] for model in config["models"].values()}
    if set(frame.columns) != PLAIN or "f" in outcomes or {"filter", "first_per"} & set(dataset):
        return None
    more = frame.sample(3, random_state=seed % 2**31).copy()
    more[["t", "x", "z", "y"]] = np.nan
    if not pd.api.types.is_numeric_dtype(frame["f"].dtype):
        more["f"] = "of no complete row"
    return Told(pd.concat([more, frame], ignore_index=True), config)


def _with_a_copy(
    frame: pd.DataFrame, config: dict[str, Any], draw: random.Random, seed: int
) -> Told | None:
    """The random slope is that of a copy of its covariate."""
    if set(frame.columns) != PLAIN:
        return None
    config = copy.deepcopy(config)
    for model in config["models"].values():
        fixed, bar, random_part = model["formula"].rpartition(" + (")
        if _word("z", random_part):
            return None
        model["formula"] = fixed + bar + re.sub(r"\bx\b", "copy", random_part)
        by = model.get("rank", {}).get("by")
        if isinstance(by, dict):
            by["at"] = {"copy" if name == "x" else name: x for name, x in by["at"].items()}
        elif by == "x":
            model["rank"]["by"] = "copy"
    return Told(frame.assign(copy=frame["x"]), config)


def _as_csv(
    frame: pd.DataFrame, config: dict[str, Any], draw: random.Random, seed: int
) -> Told | None:
    sound = set(frame.columns) == PLAIN and pd.api.types.is_integer_dtype(frame["g"].dtype)
    words = frame["f"].dropna().astype(str)
    if (
        not sound
        or not words.str.fullmatch(r"[a-z0-9 .]*[a-z0-9]").all()
        or frame.isna().all().any()
    ):
        return None
    if np.isinf(frame[["t", "x", "z", "y"]].to_numpy(float)).any():
        return None
    return Told(frame, config, kind="csv")


WAYS: list[Way] = [
    _shuffled, _relabelled, _renamed, _in_other_units, _covariate_in_other_units,
    _with_incomplete_rows, _with_a_copy, _as_csv,
]  # fmt: skip
