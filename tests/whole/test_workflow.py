"""The workflow as a user meets it: what runs, what reruns, and how bad input ends."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import warm_snakemake
import yaml

pytestmark = pytest.mark.usefixtures("warm_jobs")

ROOT = Path(__file__).resolve().parents[2]
Edit = Callable[[dict[str, Any]], Any]


def linked(folder: Path) -> Path:
    """A folder whose code is this checkout's."""
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("workflow", "profiles"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def default(folder: Path) -> Path:
    """The default configuration with its data, too."""
    shutil.copy(ROOT / "config.yaml", linked(folder))
    (folder / "data").symlink_to(ROOT / "data")
    return folder


def snakemake(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*warm_snakemake.COMMAND, "--cores", "2", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=600,
    )


def planned(folder: Path, *options: str) -> set[str]:
    """The jobs of a dry run: "rule" or "rule:wildcard"."""
    run = snakemake(folder, "--dry-run", *options)
    assert run.returncode == 0, run.stderr
    blocks = re.findall(r"^(?:local)?rule (\w+):\n((?: +.*\n)*)", run.stdout + run.stderr, re.M)
    wildcards = [re.search(r"^ +wildcards: \w+=(\S+)", details, re.M) for _, details in blocks]
    return {
        f"{rule}:{value[1]}" if value else rule
        for (rule, _), value in zip(blocks, wildcards, strict=True)
    }


def edit_config(folder: Path, edit: Edit) -> None:
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text("utf-8"))
    replacement = edit(config)
    config = config if replacement is None else replacement
    path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return value


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the default configuration. Tests restore what they edit."""
    folder = default(tmp_path_factory.mktemp("finished"))
    run = snakemake(folder)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


@pytest.fixture
def run(finished: Path) -> Any:
    """The finished run; its configuration is put back afterwards."""
    yield finished
    shutil.copy(ROOT / "config.yaml", finished / "config.yaml")


# What runs, and what reruns


def test_default_run_is_few_jobs(finished: Path) -> None:
    """Two a model, and sixteen for what they share."""
    models = yaml.safe_load((finished / "config.yaml").read_text("utf-8"))["models"]
    assert 10 < len(planned(finished, "--forceall")) <= 16 + 2 * len(models)


def test_default_run_leaves_every_artifact(finished: Path) -> None:
    results = finished / "results"
    for model in yaml.safe_load((finished / "config.yaml").read_text("utf-8"))["models"]:
        for name in ("fit.json", "posterior.npz", "figures/shrinkage.svg"):
            assert (results / "models" / model / name).stat().st_size > 0
    for table in results.rglob("*.csv"):
        assert table.with_suffix(".html").stat().st_size > 0, table
    for page in ("report.html", "manifest.json", "comparisons.csv"):
        assert (results / page).stat().st_size > 0
    assert not list(results.rglob("*.tmp"))


def test_default_run_tries_five_structures_on_the_children(finished: Path) -> None:
    """The children are simulated with a random intercept: it fits best, and slopes add nothing."""
    folder = finished / "results" / "structures" / "growth"
    table = pd.read_csv(folder / "structures.csv", index_col="structure")
    assert set(table.index) == {"intercept", "slope", "car1", "car1_power", "unstructured"}
    assert table["aic"].idxmin() == "intercept" and table.loc["intercept", "delta_aic"] == 0
    assert (table["n_obs"] == 189).all() and (table["converged"] == "yes").all()
    against = {"car1_power": "car1", "slope": "intercept", "unstructured": "intercept"}
    assert table["against"].dropna().to_dict() == against
    assert table.loc["slope", "p_value"] > 0.05
    report = (finished / "results" / "report.html").read_text("utf-8")
    assert "<code>intercept</code> has the lowest AIC" in report
    assert "booktabs" in (folder / "structures.tex").read_text("utf-8")


def test_default_run_lays_gee_beside_the_growth_model(finished: Path) -> None:
    """The lecture's claim: intercept and marginal model are one, exchangeable GEE is near."""
    table = pd.read_csv(finished / "results" / "models" / "growth" / "agreement.csv")
    worst = table.assign(apart=table["apart"].abs()).groupby("method")["apart"].max()
    assert worst["exchangeable marginal model"] == 0
    assert worst["GEE exchangeable"] < 0.01 < 0.1 < worst["GEE independence"]
    report = (finished / "results/appendix/model-growth.html").read_text("utf-8")
    assert "GEE exchangeable agrees with the random intercept" in report


def test_memory_is_asked_for_what_is_in_an_archive(tmp_path: Path) -> None:
    rows = "".join(f"{k % 20},{k}\n" for k in range(400_000))
    (tmp_path / "s.csv.gz").write_bytes(gzip.compress(f"g,y\n{rows}".encode()))
    linked(tmp_path)
    config = {
        "datasets": {"d": {"source": {"file": "s.csv.gz"}, "cluster": "g"}},
        "models": {"m": {"dataset": "d", "formula": "y ~ 1 + (1 | g)"}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    run = snakemake(tmp_path, "--dry-run", "results/datasets/d/data.parquet")
    asked = re.search(r"^rule prepare:(?:\n .*)*mem_mb=([0-9]+)", run.stdout + run.stderr, re.M)
    # 500 MB and 15 for each of the text's.
    assert asked and int(asked[1]) == int(500 + 15 * (len(rows) + 4) / 2**20)


def test_nothing_to_do_after_a_run(run: Path) -> None:
    assert planned(run) == set()


def test_editing_one_model_reruns_that_model(run: Path) -> None:
    def with_gender(config: dict[str, Any]) -> None:
        before = config["models"]["school_type"]["formula"]
        config["models"]["school_type"]["formula"] = before.replace("* schgend", "* schgend + girl")

    edit_config(run, with_gender)
    after = {"moves:london", "compare", "publish", "report", "manifest", "all"}
    assert planned(run) == {"fit:school_type", "draw:school_type", *after}


def test_editing_a_ranking_refits_nothing(run: Path) -> None:
    def lowest_first(config: dict[str, Any]) -> None:
        config["models"]["school_slope"]["rank"]["best"] = "low"

    edit_config(run, lowest_first)
    after = {"moves:london", "publish", "report", "manifest", "all"}
    assert planned(run) == {"rank_over:school_slope", *after}


def test_editing_a_structure_fits_no_model(run: Path) -> None:
    def without(config: dict[str, Any]) -> None:
        del config["structures"]["growth"]["fits"]["slope"]

    edit_config(run, without)
    after = {"publish", "report", "manifest", "all"}
    assert planned(run) == {"structures_time:growth", *after}


def test_editing_a_selection_leaves_the_order_alone(run: Path) -> None:
    def larger(config: dict[str, Any]) -> None:
        config["models"]["school_slope"]["rank"]["select"]["share"] = 0.2

    edit_config(run, larger)
    assert planned(run) == {"rank_over:school_slope", "publish", "report", "manifest", "all"}


def test_editing_what_is_explored_prepares_nothing(run: Path) -> None:
    def larger(config: dict[str, Any]) -> None:
        config["datasets"]["london"]["explore"]["min_cluster_size"] = 6

    edit_config(run, larger)
    assert not [job for job in planned(run) if job.startswith("prepare")]


def test_a_trend_without_visits_is_explored_over_time_alone(run: Path) -> None:
    def no_visit(config: dict[str, Any]) -> None:
        config["datasets"]["children"]["explore"]["visit"] = None

    edit_config(run, no_visit)
    explored = {"explore_trend:children", "report", "manifest", "all"}
    assert planned(run) == explored


def test_reordering_keys_reruns_nothing(run: Path) -> None:
    edit_config(run, reversed_keys)
    assert planned(run) == set()


def test_lint_reports_nothing_but_the_single_environment(tmp_path: Path) -> None:
    text = snakemake(default(tmp_path), "--lint")
    told = re.findall(r"^ +\* ([^\n]+?):?$", text.stdout + text.stderr, re.MULTILINE)
    assert {line.split(":")[0] for line in told} <= {
        "Additionally specify a conda environment or container for each rule, environment "
        "modules are not enough",
        "Specify a conda environment or container for each rule.",
    }


def test_snakemake_report(finished: Path) -> None:
    run = snakemake(finished, "--report", "snakemake-report.html")
    assert run.returncode == 0, run.stderr
    page = (finished / "snakemake-report.html").read_text("utf-8")
    text = page.split('<script id="results">', 1)[1].split("var results = ", 1)[1]
    shown, _ = json.JSONDecoder().raw_decode(text)
    labels = {path: shown[path]["labels"] for path in shown}
    slopes = "results/models/school_slope"
    assert labels[f"{slopes}/term_tests.html"] == {
        "data set": "london", "model": "school_slope", "shows": "term tests", "as": "table",
    }  # fmt: skip
    assert labels[f"{slopes}/figures/caterpillar.svg"]["as"] == "figure"
    assert labels["results/structures/growth/structures.html"]["data set"] == "children"
    found = [path for path in labels if labels[path].get("data set") == "children"]
    assert "results/datasets/children/models.html" in found
    assert not [path for path in found if "school" in path]


def test_committed_tables_are_those_of_a_fresh_run(finished: Path) -> None:
    committed = sorted((ROOT / "results").rglob("*.csv"))
    fresh = sorted((finished / "results").rglob("*.csv"))
    assert [path.relative_to(ROOT) for path in committed] == [
        path.relative_to(finished) for path in fresh
    ]
    for old, new in zip(committed, fresh, strict=True):
        # Last digits belong to the machine's linear algebra; standard errors are second
        # derivatives, good for about half of the digits.
        pd.testing.assert_frame_equal(pd.read_csv(old), pd.read_csv(new), rtol=1e-5, atol=1e-6)


# Bad input that the configuration alone shows


def in_place(*keys: str, value: Any) -> Edit:
    def edit(config: dict[str, Any]) -> None:
        for key in keys[:-1]:
            config = config[key]
        config[keys[-1]] = value

    return edit


SLOPE = ("models", "school_slope", "formula")
CODE = "__import__('os').system('touch owned')"
# Some go through the workflow; many more are told without it, in tests/config and test_security.
IN_CONFIG: dict[str, tuple[Edit, str]] = {
    "unknown key": (in_place("datasets", "london", "clustr", value="school"), "cluster"),
    "code in a formula": (in_place(*SLOPE, value=f"gcse ~ {CODE} + (1|school)"), "formula"),
    "file missing": (
        in_place("datasets", "children", "source", "file", value="data/childre.dta"),
        "children_synthetic.dta",
    ),
    "not a mapping": (in_place("datasets", value=[]), "datasets"),
}


def complaint(run: subprocess.CompletedProcess[str]) -> list[str]:
    """What a run says besides the notes that Snakemake begins with."""
    lines = [line for line in run.stderr.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith(("Using ", "Assuming "))]


@pytest.mark.parametrize("case", IN_CONFIG)
def test_bad_configuration_is_one_line(run: Path, case: str) -> None:
    edit, said = IN_CONFIG[case]
    edit_config(run, edit)
    before = {path: path.stat().st_mtime_ns for path in (run / "results").rglob("*")}
    ended = snakemake(run)
    assert ended.returncode == 1
    assert len(complaint(ended)) == 1, ended.stderr
    assert said in complaint(ended)[0]
    assert "Traceback" not in ended.stdout + ended.stderr
    assert {path: path.stat().st_mtime_ns for path in (run / "results").rglob("*")} == before
    assert not list(run.rglob("owned"))


def test_reml_fits_of_different_fixed_parts(run: Path) -> None:
    def compare(config: dict[str, Any]) -> None:
        config["models"]["narrow"] = {
            "dataset": "london",
            "formula": "gcse ~ 1 + (1 + lrt_groupc | school)",
        }
        config["comparisons"]["x"] = {"null": "narrow", "alternative": "school_slope"}

    edit_config(run, compare)
    ended = snakemake(run)
    assert ended.returncode == 1
    assert len(complaint(ended)) == 1 and "REML" in complaint(ended)[0]


def test_a_configuration_of_ones_own_stands_alone(run: Path) -> None:
    own = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    own = {
        "datasets": {"london": own["datasets"]["london"]},
        "models": {"school_slope": own["models"]["school_slope"]},
        "results": "own",
    }
    (run / "own.yaml").write_text(yaml.safe_dump(own), "utf-8")
    jobs = planned(run, "--configfile", "own.yaml")
    assert {job.partition(":")[2] for job in jobs} - {""} == {"london", "school_slope"}


def test_a_bootstrap_of_a_model_and_of_a_comparison(tmp_path: Path) -> None:
    """Its table is an artifact, its intervals are the tables', and two runs draw the same."""
    run = linked(tmp_path)
    (run / "data").symlink_to(ROOT / "data")
    own = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    model = {"dataset": "children", "method": "ml"}
    line = "weight ~ age_c + age_sp + (1 | id)"
    del own["datasets"]["children"]["explore"]
    own = {
        "datasets": {"children": own["datasets"]["children"]},
        "models": {
            "line": {
                **model,
                "formula": line,
                "inference": {"intervals": "bootstrap", "draws": 300},
            },
            "girls": {**model, "formula": line.replace("age_sp", "age_sp + girl")},
        },
        "comparisons": {"girl": {"null": "line", "alternative": "girls", "bootstrap": 60}},
        "results": "own",
    }
    (run / "own.yaml").write_text(yaml.safe_dump(own), "utf-8")
    names = ("models/line/bootstrap", "comparisons")
    tables = {run / f"own/{name}.csv": b"" for name in names}
    own = (*(f"own/{name}.csv" for name in names), "--configfile", "own.yaml")
    ended = snakemake(run, *own, "--cores", "1")
    assert ended.returncode == 0, ended.stderr[-2000:]
    for table in tables:
        tables[table] = table.read_bytes()
        table.unlink()
    # What was interrupted goes on: draws that are there are not made again.
    (run / "own/models/line/.bootstrap/250-299.npz").unlink()
    assert planned(run, *own) == {"bootstrap:line,", "fit_bootstrapped:line", "compare"}
    ended = snakemake(run, *own, "--cores", "2")
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert tables == {table: table.read_bytes() for table in tables}
    drawn = pd.read_csv(run / "own/models/line/bootstrap.csv")
    fixed = pd.read_csv(run / "own/models/line/fixed_effects.csv")
    ends = drawn[drawn["scale"] == "fixed"][["percentile_low", "percentile_high"]].to_numpy()
    assert fixed[["conf_low", "conf_high"]].to_numpy() == pytest.approx(ends, rel=1e-7)
    compared = pd.read_csv(run / "own/comparisons.csv").iloc[0]
    assert compared["draws"] == 60
    # Girls are lighter beyond doubt: the smallest p that 60 draws give, or the next ones.
    assert 1 / 61 <= compared["p_bootstrap"] <= 5 / 61


def test_yaml_that_is_none(run: Path) -> None:
    (run / "config.yaml").write_text("datasets: {london: [\n", "utf-8")
    ended = snakemake(run)
    assert ended.returncode != 0
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_key_that_stands_twice(run: Path) -> None:
    with (run / "config.yaml").open("a", encoding="utf-8") as stream:
        stream.write("results: elsewhere\n")
    ended = snakemake(run)
    assert ended.returncode == 1
    assert len(complaint(ended)) == 1 and "'results' stands twice" in complaint(ended)[0]


# Bad input that only the data show


def small_frame() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(12), 6)
    x = rng.normal(size=72)
    y = 1 + x + rng.normal(size=12)[cluster] + rng.normal(size=72)
    return pd.DataFrame(
        {
            "g": cluster,
            "row": np.arange(72),
            "x": x,
            "twice": 2 * x,
            "y": y,
            "flat": 1.0,
            "gone": np.nan,
            "word": "red",
        }
    )


GOOD = {"source": {"file": "small.csv"}, "cluster": "g"}
# dataset -> (changes to the good data set, said)
BAD_DATA: dict[str, tuple[dict[str, Any], str]] = {
    "unknown_variable": ({"derive": {"z": "2 * xx"}}, "xx"),
    "no_cluster": ({"cluster": "gg"}, "gg"),
    "expected": ({"expect": {"rows": 71}}, "71"),
    "truncated": ({"source": {"file": "truncated.dta"}}, "truncated.dta"),
    "wrong_format": ({"source": {"file": "wrong.dta"}}, "wrong.dta"),
    "binary": ({"source": {"file": "binary.csv"}}, "binary.csv"),
    "no_such_item": ({"source": {"rdataset": "mlmRev/Exma"}}, "Exam"),
}
# model -> (data set, formula, said)
BAD_MODELS: dict[str, tuple[str, str, str]] = {
    "variable_unknown": ("small", "y ~ xx + (1 | g)", "xx"),
    "one_row_a_cluster": ("by_row", "y ~ x + (1 | row)", "row"),
    "one_cluster": ("by_flat", "y ~ x + (1 | flat)", "several clusters"),
    "outcome_constant": ("small", "flat ~ x + (1 | g)", "constant"),
    "outcome_text": ("small", "word ~ x + (1 | g)", "word"),
    "outcome_missing": ("small", "gone ~ x + (1 | g)", "gone"),
    "collinear": ("small", "y ~ x + twice + (1 | g)", "twice"),
    "too_many": ("pairs", "y ~ x + (1 + x | pair)", "random effects"),
}


@pytest.fixture(scope="module")
def bad_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One run of everything that is bad, each fault a data set or model of its own."""
    folder = linked(tmp_path_factory.mktemp("bad"))
    frame = small_frame()
    frame["pair"] = frame["row"] // 2
    frame.to_csv(folder / "small.csv", index=False)
    whole = (ROOT / "data" / "children_synthetic.dta").read_bytes()
    (folder / "truncated.dta").write_bytes(whole[: len(whole) // 2])
    (folder / "wrong.dta").write_text("g,x,y\n1,2,3\n", "utf-8")
    (folder / "binary.csv").write_bytes(bytes(range(256)) * 20)
    config = {
        "datasets": {
            "small": GOOD,
            "by_row": {**GOOD, "cluster": "row"},
            "by_flat": {**GOOD, "cluster": "flat"},
            "pairs": {**GOOD, "cluster": "pair"},
            **{name: {**GOOD, **changes} for name, (changes, _) in BAD_DATA.items()},
        },
        "models": {
            "good": {"dataset": "small", "formula": "y ~ x + (1 | g)"},
            **{
                name: {"dataset": dataset, "formula": text}
                for name, (dataset, text, _) in BAD_MODELS.items()
            },
        },
        "results": "results",
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    run = snakemake(folder, "--keep-going")
    assert run.returncode == 1
    return folder, run.stdout + run.stderr


def last_line(log: Path, output: str) -> str:
    """The one line that a failed job leaves, in its log and on screen."""
    lines = log.read_text("utf-8").splitlines()
    assert "Traceback" not in "".join(lines), "\n".join(lines)
    assert lines[-1] in output
    return lines[-1]


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_is_one_line(bad_run: tuple[Path, str], name: str) -> None:
    folder, output = bad_run
    line = last_line(folder / "logs" / "results" / "prepare" / f"{name}.log", output)
    assert name in line or "source" in line
    assert BAD_DATA[name][1] in line
    assert not [p for p in (folder / "results" / "datasets" / name).rglob("*") if p.is_file()]


@pytest.mark.parametrize("name", BAD_MODELS)
def test_bad_model_is_one_line(bad_run: tuple[Path, str], name: str) -> None:
    folder, output = bad_run
    dataset, _, said = BAD_MODELS[name]
    logs = folder / "logs" / "results"
    log = logs / "fit" / f"{name}.log"
    line = last_line(log if log.exists() else logs / "prepare" / f"{dataset}.log", output)
    assert said in line
    assert not [p for p in (folder / "results" / "models" / name).rglob("*") if p.is_file()]


def test_a_good_model_survives_bad_neighbours(bad_run: tuple[Path, str]) -> None:
    folder, output = bad_run
    assert (folder / "results" / "models" / "good" / "fit.json").exists()
    assert "Traceback" not in output
    assert not (folder / "results" / "report.html").exists()
