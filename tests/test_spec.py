"""The configuration: what is accepted, what is refused and in which words."""

from __future__ import annotations

import copy
import datetime
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mixedflow import spec
from mixedflow.errors import ConfigError, MixedflowError

ROOT = Path(__file__).resolve().parents[1]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


HEADINGS = {
    "datasets", "models", "families", "comparisons", "report", "source", "expect", "explore",
    "rank", "select", "inference",
    "at",
}  # fmt: skip


def changed(path, value):
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split("/")
    part = config
    for key in parents:
        part = part[key]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return config


def test_both_configurations_load():
    for name in ("config.yaml", "configs/lecture.yaml"):
        config = spec.read(ROOT / name)
        assert set(config.models) == {
            "growth", "school_intercept", "school_slope", "school_value_added", "school_slope_ml",
            "school_gender", "school_type",
        }  # fmt: skip
    assert config.datasets["london"].expect == {"rows_read": 4059, "rows": 4059, "clusters": 65}


def test_null_of_a_comparison_needs_no_quotes():
    assert None in CONFIG["comparisons"]["gender"]  # as YAML reads it
    config = copy.deepcopy(CONFIG)
    for part in config["comparisons"].values():
        part["null"] = part.pop(None)
    assert spec.load(config) == spec.load(CONFIG)


def test_json_and_back():
    config = spec.load(CONFIG)
    assert spec.Config.from_json(config.to_json()) == config


def test_defaults_come_from_the_schema():
    small = {
        "datasets": {"d": {"source": {"file": "a.csv"}, "cluster": "g"}},
        "models": {"m": {"dataset": "d", "formula": "y ~ x + (1 | g)", "rank": {}}},
    }
    config = spec.load(small)
    assert config.models["m"].method == "reml"
    assert config.models["m"].rank == spec.RankSpec(
        "Intercept", "high", None, spec.SelectSpec(0.1, 0.1), (), (), None
    )
    assert config.results == "results" and config.datasets["d"].explore is None


def reordered(value):
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(list(value))}
    return value


def test_order_of_keys_changes_nothing():
    assert spec.load(reordered(CONFIG)).to_json() == spec.load(CONFIG).to_json()


def test_rankings_beside_come_along_the_covariate():
    beside = {
        "z": "lrt_groupc",
        "high": {"at": {"lrt_groupc": 10}},
        "low": {"at": {"lrt_groupc": -10}},
    }
    config = spec.load(changed("models/school_slope/rank/beside", beside))
    rank = config.models["school_slope"].rank
    assert [name for name, _ in rank.beside] == ["low", "high", "z"]


def test_order_of_dependent_derivations_is_kept():
    derive = {"z": "x + 1", "a": "z * 2", "x": "x * 10", "b": "x"}
    config = changed("datasets/london/derive", derive)
    names = [name for name, _ in spec.load(config).datasets["london"].derive]
    assert names.index("z") < names.index("a") and names.index("z") < names.index("x")
    assert names.index("x") < names.index("b")


def test_derivations_in_a_circle_keep_the_order_of_writing():
    for derive in ({"a": "b + 1", "b": "a + 1"}, {"b": "a + 1", "a": "b + 1"}):
        config = spec.load(changed("datasets/london/derive", derive))
        assert list(config.datasets["london"].derive) == list(derive.items())


@pytest.mark.parametrize(
    "path,value,message",
    [
        ("modles", {}, "unknown key 'modles'; did you mean 'models'?"),
        ("models/growth/metod", "ml", "models.growth: unknown key 'metod'; did you mean 'method'"),
        ("models/growth/method", "mle", "models.growth.method: 'mle' is not allowed; did you mean"),
        ("models/growth/dataset", "childern", "unknown dataset 'childern'; did you mean 'childr"),
        ("models/growth/formula", None, "the key 'formula' is missing"),
        ("models/growth/formula", 3, "must be text, not 3"),
        ("models/growth/formula", "weight ~ age + (1 | id", "models.growth.formula"),
        ("models/growth/formula", "weight ~ age", "no grouping factor"),
        ("models/growth/formula", "weight ~ (1|id) + (1|occ)", "two grouping factors"),
        ("models/growth/formula", "weight ~ (1 | child)", "not the data set's cluster; did you me"),
        ("models/growth/formula", "weight ~ lgo(age) + (1|id)", "unknown function 'lgo'"),
        ("models/school_slope/rank/by", "lrt", "unknown random term 'lrt'"),
        (
            "models/school_slope/rank/beside",
            {"a": "lrt"},
            "rank.beside.a: unknown random term 'lrt'",
        ),
        ("models/school_slope/rank/top", 0, "0 is less than the minimum of 1"),
        ("models/school_slope/rank/best", "hihg", "did you mean 'high'"),
        ("comparisons/gender/null", "school_slop", "unknown model 'school_slop'; did you mean"),
        ("comparisons/gender/null", "school_gender", "compares a model with itself"),
        ("comparisons/gender/null", "growth", "different data sets"),
        ("comparisons/gender/null", "school_slope", "fit both by the same method"),
        ("datasets/london/derive/x", "lrt.__class__", "datasets.london.derive.x"),
        ("datasets/london/derive/x", "__import__('os')", "datasets.london.derive.x"),
        ("datasets/london/filter", "(lambda: 1)()", "datasets.london.filter"),
        (
            "datasets/london/source",
            {"file": "a.csv", "url": "https://b"},
            "2 of file, files, rdataset",
        ),
        ("datasets/london/source", {}, "0 of file, files, rdataset and url"),
        ("datasets/london/explore/predictor", None, "needs a predictor"),
        ("datasets/children/explore/trend", None, "visit and trend come together"),
        ("datasets/lon don", CONFIG["datasets"]["london"], "the name 'lon don' is not allowed"),
        ("datasets/London", CONFIG["datasets"]["london"], "by its case only"),
        ("results", "../elsewhere", "not a folder inside"),
        ("results", "/tmp/x", "not a folder inside"),
        ("results", "a{b}", "not a folder inside"),
        ("results", "  ", "not a folder inside"),
        ("models/a\n", CONFIG["models"]["growth"], "is not allowed; letters, digits"),
        ("comparisons/Gender", CONFIG["comparisons"]["gender"], "by its case only"),
        ("models/school_slope/rank/by", {"at": {"girl": 1}}, "unknown random term 'girl'"),
        (
            "models/school_slope/rank/by",
            {"at": {"lrt_groupc": float("nan")}},
            "models.school_slope.rank.by.at.lrt_groupc: nan is not a finite number",
        ),
        ("report/title", "\ud800", "report.title: '\\ud800' holds half a character"),
        ("report/title", datetime.date(2020, 1, 1), "report.title: datetime.date(2020, 1, 1) is"),
        (
            "datasets/london/source",
            {"rdataset": "mlmRev/Exam", "sha256": "a" * 64},
            "source.sha256: is checked for file and url only",
        ),
        (
            "datasets/london/source",
            {"url": "https://b/c.dta", "sha256": "a" * 64 + "\n"},
            "source.sha256",
        ),
        ("datasets/london/levels/schgend", ["mixed", "mixed"], "datasets.london.levels.schgend"),
        (
            "models/school_slope/formula",
            "lrt ~ lrt_groupc + (1 + lrt_groupc | school)",
            "comparisons.slope: the models have different outcomes, 'gcse' and 'lrt'",
        ),
        ("datasets/london/expect/rows", -1, "datasets.london.expect.rows"),
    ],
)
def test_refused_in_one_line(path, value, message):
    with pytest.raises(MixedflowError) as caught:
        spec.load(changed(path, value))
    line = str(caught.value)
    assert message in line and "\n" not in line and line.startswith("config.yaml")


def test_reml_fits_of_different_fixed_parts():
    config = changed("comparisons/slope", {"null": "school_intercept", "alternative": "other"})
    config["models"]["other"] = {"dataset": "london", "formula": "gcse ~ girl + (1 | school)"}
    with pytest.raises(ConfigError, match=r"REML fits of different fixed parts .*method: ml"):
        spec.load(config)


@pytest.mark.parametrize(
    "text,message",
    [
        ("a: 1\na: 2\n", "stands twice"),
        ("a: [1\n", "not valid YAML"),
        ("- 1\n", "is a mapping"),
        ("", "is a mapping"),
        ("!!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("? [1, 2]\n: 3\n", "not valid YAML"),
    ],
)
def test_bad_yaml(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        spec.read(path)
    assert "\n" not in str(caught.value)


def test_merge_keys(tmp_path):
    """What `<<` brings in counts as a default: a key beside it is no second one."""
    path = tmp_path / "c.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", encoding="utf-8")
    assert spec.parse(path)["b"] == {"x": 1, "y": 3}


def test_missing_file():
    with pytest.raises(ConfigError, match="cannot be read"):
        spec.read("nowhere.yaml")


def test_every_key_is_described_and_documented():
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert page == spec.reference()

    def check(node):
        for name, part in node.get("properties", {}).items():
            whole = {**spec._resolve(part), **part}
            assert whole.get("description"), name
            # A heading's example is that of the keys below it.
            assert whole.get("examples") or name in HEADINGS, name
            assert f"{name}`" in page
            check(part)

    for node in (spec.schema(), *spec.schema()["$defs"].values()):
        check(node)


def test_start_up_is_light():
    """Every start of Snakemake reads the configuration: no numpy, no pandas."""
    code = (
        "import sys, json; from mixedflow import spec, provenance; spec.read('config.yaml');"
        "provenance.code_digest('mixed'); print(json.dumps(sorted(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(json.loads(out.stdout))
    assert not loaded & {"numpy", "pandas", "scipy", "matplotlib", "statsmodels", "formulaic"}
