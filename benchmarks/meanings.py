"""Analyses whose parts are each allowed, and together make little sense: cases for fuzz.py.

Columns that coincide or are called alike, odd numbers in the configuration, families and factors of
any size, values far from 1. A case does what the jobs of a run do, from the file to the report.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedflow.artifacts import formatting, registry, stored, tables
from mixedflow.config import families, reading
from mixedflow.config.specs import Config, DatasetSpec, ModelSpec, OrderSpec
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import load, save
from mixedflow.data.sources import read_source
from mixedflow.errors import MixedflowError

ALIKE = (
    ("x", "X"), ("\u00b5g", "\u03bcg"), ("\u00e9", "e\u0301"), ("x", "x "), ("a b", "a  b"),
    ("x1", "x01"), ("\uff58", "x"), ("Intercept", "intercept"), ("a:b", "a"), ("I(x)", "x"),
    ("True", "true"), ("log(x)", "x"), ("x.1", "x_1"), ("class", "Class"), ("1", "1.0"),
    ("{x}", "x"), ("$x$", "x"), ("<b>", "b"), ("x" * 300, "x" * 299), ("\u200bx", "x"),
    ("(Intercept)", "Residual"), ("cluster", "n"), ("mean", "estimate"),
)  # fmt: skip
LABELS_ALIKE = ("A", "a", "A ", "\u00c5", "A\u030a", "NA", "None", "nan", "1", "1.0", "01", "1e0")
ODD_NUMBERS = (-1e300, -1e9, -1.0, 0.0, 1e-300, 0.5, 1.0, 7.0, 1e9, 1e300)
NUMBERS = ("t", "x", "z", "y")


def table(draw: random.Random) -> pd.DataFrame:
    """Rows of a plain random-slope design, and up to three things that are odd about them."""
    rng = np.random.default_rng(draw.randrange(2**32))
    clusters = draw.choice([2, 3, 4, 8, 8, 15, 15, 40, 40, 200])
    sizes = np.full(clusters, draw.choice([2, 3, 5, 5, 10, 10]))
    if draw.random() < 0.4:
        sizes = rng.integers(1, 9, clusters)
    if draw.random() < 0.1:
        sizes[0] = 2000
    g = np.repeat(np.arange(clusters), sizes)
    t = np.concatenate([np.arange(size) for size in sizes]).astype(float)
    x, z = rng.normal(size=(2, len(g)))
    u = rng.normal(size=(clusters, 2))
    y = 1 + x + 0.5 * t + u[g, 0] + 0.5 * u[g, 1] * x + rng.normal(size=len(g))
    f = np.array(list("abc"))[rng.integers(0, 3, len(g))]
    frame = pd.DataFrame({"g": g, "t": t, "x": x, "z": z, "y": y, "f": f})
    for _ in range(draw.choice([0, 1, 1, 2, 3])):
        _twist(frame, draw, rng)
    return frame


def _twist(frame: pd.DataFrame, draw: random.Random, rng: np.random.Generator) -> None:
    one, other = draw.sample(NUMBERS, 2)
    n, g = len(frame), frame["g"].to_numpy()
    match draw.randrange(16):
        case 0:  # columns that coincide
            frame[one] = frame[other]
        case 1:
            frame[one] = draw.choice(ODD_NUMBERS) * frame[other] + draw.choice(ODD_NUMBERS)
        case 2:
            frame[one] = frame[other].groupby(g).transform("mean")
        case 3:
            frame[one] = draw.choice(ODD_NUMBERS)
        case 4:
            frame[one] = frame[one] * draw.choice([1e-300, 1e-150, 1e-9, 1e9, 1e150, 1e300])
        case 5:
            frame[one] = frame[one] + draw.choice([1e6, 1e9, 1e15, 1e150])
        case 6:
            frame[one] = (frame[one] > frame[one].median()).astype(int)
        case 7:
            frame[one] = frame[one].round().astype(float)
        case 8:
            frame.loc[rng.random(n) < draw.choice([0.01, 0.3, 0.97]), one] = np.nan
        case 9:
            frame[one] = frame[one].astype(float)
            frame.loc[g == g[draw.randrange(n)], one] = draw.choice([np.nan, 0.0, np.inf])
        case 10:  # levels: one, one a cluster, one a row, many
            frame["f"] = draw.choice([np.zeros(n), g, np.arange(n), np.arange(n) % 40])
            frame["f"] = frame["f"].map(lambda value: f"level {value}")
        case 11:
            frame["f"] = frame["f"].astype(str).astype(object)
            frame.loc[rng.random(n) < 0.5, "f"] = draw.choice([None, "", " a", "a:b", "Intercept"])
        case 12:
            codes = pd.factorize(g)[0]
            names = np.array([draw.choice(LABELS_ALIKE) for _ in range(codes.max() + 1)])
            frame["g"] = names[codes]
        case 13:
            frame["f"] = rng.integers(0, draw.choice([2, 3, 50]), n)
        case 14:
            frame[one] = frame[other] + 1e-9 * frame[one]
        case _:
            frame[one] = frame[one].astype(float)
            frame.loc[draw.randrange(n), one] = draw.choice(ODD_NUMBERS)


def case(seed: int, plain: bool = False) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows of a case, and its configuration; its one file is d.parquet.

    ``plain``: the same with the names x and z.
    """
    draw = random.Random(seed)
    frame = table(draw)
    names = {name: name for name in frame.columns}
    if draw.random() < 0.3:
        names["x"], names["z"] = draw.sample(draw.choice(ALIKE), 2)
        if plain or len(set(names.values())) < len(names):
            names = {name: name for name in frame.columns}
    q = {name: new if new == name else f"`{new}`" for name, new in names.items()}
    first = _model(draw, names, q)
    models = {"m0": first}
    for k in range(1, draw.choice([1, 1, 2, 3])):
        models[f"m{k}"] = _model(draw, names, q, first if draw.random() < 0.9 else None)
    config: dict[str, Any] = {"datasets": {"d": _dataset(draw, names, q)}, "models": models}
    if len(models) > 1 and draw.random() < 0.5:
        null, alternative = draw.sample(sorted(models), 2)
        config["comparisons"] = {"c": {"null": null, "alternative": alternative}}
    if draw.random() < 0.15:
        config["families"] = {"many": _family(draw, names)}
    return frame.rename(columns=names), config


def _dataset(draw: random.Random, names: Mapping[str, str], q: Mapping[str, str]) -> dict[str, Any]:
    any_of = [names[name] for name in NUMBERS]
    x, z, g = q["x"], q["z"], q["g"]
    found: dict[str, Any] = {"source": {"file": "d.parquet"}, "cluster": names["g"]}
    if draw.random() < 0.7:
        found["time"] = draw.choice([*[names["t"]] * 8, *any_of])
    if draw.random() < 0.3:
        found["title"] = draw.choice(["{x}", "$x$", "<b>", "100%", "x_1 & y\\", "=1+1"])
    if draw.random() < 0.6:
        outcome = draw.choice([*[names["y"]] * 8, *any_of])
        predictor = draw.choice([*[names["x"]] * 4, *any_of])
        e = found["explore"] = {"outcome": outcome, "predictor": predictor}
        e["min_cluster_size"] = draw.choice([2, 3, 5, 100, 10**9])
        if "time" in found and draw.random() < 0.4:
            e["visit"], e["trend"] = draw.choice(any_of), f"{q['y']} ~ {draw.choice(['1', x, z])}"
        if draw.random() < 0.3:
            e["by"] = draw.choice(list(names.values()))
        if draw.random() < 0.3:
            e["examples"] = draw.sample(["0", "1"] * 4 + ["A"], draw.choice([1, 2]))
    if draw.random() < 0.3:
        found["derive"] = {
            "new": draw.choice(
                [
                    f"{x} - mean({x}, by={g})", f"rank({x})", f"{x} / {z}", f"log(abs({z}))",
                    f"where({x} > 0, {x}, {z})", f"{x} ** 100", f"cut({x}, [-1, 0, 1])",
                    f"sd({x}, by=[{g}, {q['f']}])", f"{x} == {z}", f"exp(exp({x}))",
                ]
            )
        }  # fmt: skip
    if draw.random() < 0.08:
        found["filter"] = draw.choice([f"{x} > 0", f"not {z}", f"{x} == {z}", f"{q['t']} < 2"])
    if draw.random() < 0.05:
        found["first_per"] = draw.choice([[names["g"]], [names["g"], names["t"]], any_of])
    if draw.random() < 0.1:
        found["labels"] = dict.fromkeys(any_of, draw.choice(["x", "$\\frac{$", "a (b) (c)", ""]))
    return found


def _model(
    draw: random.Random,
    names: Mapping[str, str],
    q: Mapping[str, str],
    like: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A model; with the outcome, fixed part and method of another, so that both can be compared."""
    x, z, t, f = q["x"], q["z"], q["t"], q["f"]
    fixed = [
        "1", "0", x, x, z, t, t, f, f"C({f})", f"{x} * {z}", f"{x}:{f}", f"I({x} ** 2)",
        f"log({z})", f"cut({x}, [-1, 0, 1])", f"C({t})", f"{t} * {f}", f"I({x} + {z})",
    ]  # fmt: skip
    slopes: dict[str, list[str]] = {  # and the names of their columns
        "1": [], f"1 + {x}": [names["x"]], f"0 + {x}": [names["x"]], f"1 + {t}": [names["t"]],
        f"1 + {x} + {t}": [names["x"], names["t"]], f"0 + {f}": [], f"1 + {f}": [],
        f"{x} * {z}": [names["x"], names["z"]], f"1 + I({x} ** 2)": [],
        f"1 + {x} + {x}": [names["x"]],
    }  # fmt: skip
    chosen = draw.choice(["1", "1", f"1 + {x}", f"1 + {t}", *slopes])
    bars = draw.choice(["|", "|", "|", "||"])
    outcome = q["y"] if draw.random() < 0.97 else draw.choice([x, t, f"log({q['y']})", f])
    terms = " + ".join(draw.sample(fixed, draw.choice([1, 1, 2, 3])))
    left = like["formula"].rpartition(" + (")[0] if like else f"{outcome} ~ {terms}"
    group = q["g"] if draw.random() < 0.99 else draw.choice([f, t])
    found: dict[str, Any] = {
        "dataset": "d",
        "formula": f"{left} + ({chosen} {bars} {group})",
        "method": like["method"] if like else draw.choice(["reml", "ml"]),
    }
    if draw.random() < 0.5:
        methods = ["normal", "satterthwaite", "kenward-roger"][
            : 3 if found["method"] == "reml" else 2
        ]
        found["inference"] = {
            "df": draw.choice(methods),
            "intervals": draw.choice(["wald", "wald", "wald", "profile", "bootstrap"]),
            "draws": 40,
            "gee": draw.random() < 0.5,
        }
        if draw.random() < 0.05:
            contrasts = [x, f"{x} - {z}", "Intercept", f"0 * {x}", f"{x} + {x}", f"1e300 * {x}"]
            found["inference"]["contrasts"] = {"c": draw.sample(contrasts, draw.choice([1, 2]))}
    intercept = not chosen.startswith("0")
    if draw.random() < 0.6 and (intercept or slopes[chosen]):
        found["rank"] = _rank(draw, slopes[chosen], intercept)
    return found


def _rank(draw: random.Random, slopes: list[str], intercept: bool) -> dict[str, Any]:
    """A ranking by a random term; ``slopes`` are those of numbers."""

    def by() -> Any:
        known = [*slopes, *(["Intercept"] if intercept else [])]
        if slopes and intercept and draw.random() < 0.5:
            return {"at": {name: draw.choice(ODD_NUMBERS) for name in slopes}}
        return draw.choice(known or ["Intercept"])

    found: dict[str, Any] = {"by": by(), "best": draw.choice(["high", "low"])}
    if draw.random() < 0.3:
        found["top"] = draw.choice([1, 1, 2, 3, 10, 10**9])
    if draw.random() < 0.3:
        share, fdr = draw.choice([1e-12, 0.1, 0.499999]), draw.choice([1e-12, 0.5, 1 - 1e-12])
        found["select"] = {"share": share, "fdr": fdr}
    if draw.random() < 0.3:
        found["beside"] = {draw.choice(["a", "rank", "B", "cluster", "{x}"]): by(), "b": by()}
    if draw.random() < 0.3:
        found["highlight"] = draw.sample(["0", "1"] * 4 + ["A"], draw.choice([1, 2]))
    if draw.random() < 0.2:
        found["pairs"] = draw.choice([["0", "1"], ["0", "0"], [0, 1.0, "2"]])
    return found


def _family(draw: random.Random, names: Mapping[str, str]) -> dict[str, Any]:
    every = [names[name] for name in ("x", "z", "t", "f")]
    repeated = draw.choice([1, 1, 1, 50, 2000])
    found: dict[str, Any] = {
        "dataset": "d",
        "formula": "{o} ~ {p} + (1 | " + (names["g"] if draw.random() < 0.95 else "f") + ")",
        "for": {"o": [names["y"]], "p": draw.sample(every, draw.choice([1, 2, 4]))},
        "adjust": draw.choice(["holm", "bonferroni", "fdr_bh", "fdr_by"]),
        "df": draw.choice(["normal", "satterthwaite"]),
    }
    if draw.random() < 0.5:
        cuts = {f"s{k}": f"t < {k + 3}" for k in range(repeated)}
        found["for"]["subset"] = draw.choice([cuts, cuts, {"all": "t >= 0", "All": "t >= 0"}])
    return found


# What a run does with it


def try_meaning(seed: int) -> None:
    frame, config = case(seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        frame.to_parquet(folder / "d.parquet", index=False)
        try:
            analyse(config, folder)
        finally:
            for path in folder.rglob("*.json"):
                json.loads(path.read_text("utf-8"), parse_constant=_no_json)


def _no_json(constant: str) -> None:
    raise AssertionError(f"{constant} in a file of JSON")


def analyse(config: dict[str, Any], folder: Path) -> None:
    """All jobs of a run, one after the other; at the end what was refused is raised.

    A job that is refused leaves those that do not rest on it.
    """
    settings = reading.load(config)
    results = folder / "results"
    dataset = settings.datasets["d"]
    raw = read_source(dataset.source, folder, folder / "downloads", "datasets.d.source")
    prepared = prepare(dataset, raw)
    data = results / registry.DATA.folder.format(dataset="d")
    data.mkdir(parents=True)
    save(prepared, data / "data.parquet", data / "data_card.json")
    refused: list[MixedflowError] = []
    jobs = [lambda: _explored(dataset, data)] if dataset.explore else []
    jobs += [
        lambda spec=spec: _modelled(spec, dataset, data, results)
        for spec in settings.models.values()
    ]
    jobs += [lambda: _related(settings, data, results)]
    for job in jobs:
        try:
            job()
        except MixedflowError as error:
            refused.append(error)
    if refused:
        raise refused[0]
    _reported(settings, data, results)


def _explored(dataset: DatasetSpec, data: Path) -> None:
    from mixedflow.analysis.exploration import explore
    from mixedflow.figures import exploration, style

    loaded = load(data / "data.parquet", data / "data_card.json")
    found, place = explore(loaded, dataset), data / "explore"
    _written(found.tables(), place)
    labels = style.Labels.of(loaded.card)
    for name, made in exploration.all_of(found, loaded.frame, dataset, labels).items():
        style.save(made, place / f"{name}.svg", alt=name)


def _written(frames: Mapping[str, pd.DataFrame], place: Path) -> None:
    place.mkdir(exist_ok=True, parents=True)
    for name, frame in frames.items():
        tables.write(frame, place / f"{name}.csv")
        formatting.write_page(frame, place / f"{name}.html", name)


def _modelled(spec: ModelSpec, dataset: DatasetSpec, data: Path, results: Path) -> None:
    from mixedflow.analysis.model import fit_model
    from mixedflow.analysis.ranking import rank_model
    from mixedflow.artifacts.fit_report import ModelReport
    from mixedflow.figures import diagnostics, models, ranking, style
    from mixedflow.ranking.posterior import Posterior

    place = results / registry.MODEL.folder.format(model=spec.name)
    loaded = load(data / "data.parquet", data / "data_card.json")
    fit_model(spec, loaded, dataset).write(place)
    fit, labels = ModelReport.read(place / "fit.json"), style.Labels.of(loaded.card)
    frames = {path.stem: stored.read(path) for path in place.glob("*.csv")}
    for name, frame in frames.items():
        formatting.write_page(frame, place / f"{name}.html", name)
    made = {}
    for draw in (models, diagnostics):
        made.update(draw.all_of(models.in_sample(frames, fit), fit, labels))
    if spec.rank is not None:
        posterior = Posterior.load(place / "posterior.npz")
        found = rank_model(spec.rank, posterior, fit, labels.axis(posterior.group))
        found.write(place, fit.title)
        made.update(ranking.all_of(found.tables, found.verdict, labels, posterior.group))
    (place / "figures").mkdir(exist_ok=True)
    for name, shown in made.items():
        style.save(shown, place / "figures" / f"{name}.svg", alt=name)


def _related(settings: Config, data: Path, results: Path) -> None:
    """What models say together: comparisons, the order of clusters, families."""
    from mixedflow.analysis import comparison, family, family_table, rank_moves
    from mixedflow.artifacts.fit_report import ModelReport
    from mixedflow.figures import family as drawing
    from mixedflow.figures.rank_lines import bump
    from mixedflow.figures.rank_style import colours_of
    from mixedflow.figures.style import save as save_figure
    from mixedflow.ranking.posterior import Posterior

    folders = {name: results / f"models/{name}" for name in settings.models}
    if all((path / "fit.json").exists() for path in folders.values()):
        fits = {name: ModelReport.read(path / "fit.json") for name, path in folders.items()}
        if settings.comparisons:
            frames = {"d": load(data / "data.parquet", data / "data_card.json").frame}
            compared = comparison.compared(settings.comparisons, fits, {}, frames)
            _written({"comparisons": compared}, results)
        ranked = {n: OrderSpec.within(m.rank) for n, m in settings.models.items() if m.rank}
        if ranked:
            posteriors = {n: Posterior.load(p / "posterior.npz") for n, p in folders.items()}
            moves = rank_moves.of_models(posteriors, fits, ranked, "g")
            moves.write(data, "moves")
            made = bump(moves.ranks, "g", colours_of(moves.highlight))
            save_figure(made, data / "rank_moves.svg", alt="moves")
    for spec in settings.families.values():
        place, batches = results / f"families/{spec.name}", families.batches(spec)
        few = families.size(spec) <= 30
        stored_data = {"d": (data / "data.parquet", data / "data_card.json")}
        batch = next(iter(batches.values()))
        for each in batches.values() if few else [families.Batch(**_head(batch))]:
            members = [place / "members" / member.name for member in each.members]
            family.fit_batch(each, stored_data, settings.datasets, members)
            unexpected = [p for p in place.rglob(families.FAILURE) if "unexpected" in p.read_text()]
            assert not unexpected, unexpected[0].read_text()
        if few:
            paths = {p.name: p for p in (place / "members").iterdir()}
            table = family_table.table(spec, paths)
            _written({"family": table}, place)
            shown = drawing.forest(family_table.drawn(table, spec), spec.adjust)
            save_figure(shown, place / "family.svg", alt="family")


def _head(batch: families.Batch) -> dict[str, Any]:
    return {**vars(batch), "members": batch.members[:10]}


def _reported(settings: Config, data: Path, results: Path) -> None:
    from mixedflow.report import page, paper
    from mixedflow.report.card import data_card_html

    card = json.loads((data / "data_card.json").read_text("utf-8"))
    (data / "data_card.html").write_text(data_card_html(card), "utf-8")
    models = [results / f"models/{name}" for name in sorted(settings.models)]
    compared = results / "comparisons.csv"
    paper.write(
        fits=[path / "fit.json" for path in models],
        rankings=[path / "ranking.csv" for path in models if (path / "ranking.csv").exists()],
        comparisons=compared if compared.exists() else None,
        cards=[data / "data_card.json"],
    )
    config = json.loads(settings.to_json())
    if settings.families:  # their table may have been left out here
        config["families"] = {}
    page.render(results, config, results / "report.html")
