"""From a file to specifications: YAML, defaults, orders, JSON."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys

import pytest
from configuration import CONFIG, ROOT, changed

from mixedflow.config import reading
from mixedflow.config.specs import Config
from mixedflow.errors import ConfigError


def test_both_configurations_load():
    for name in ("config.yaml", "configs/lecture.yaml"):
        config = reading.read(ROOT / name)
        assert set(config.models) == {
            "growth", "school_intercept", "school_slope", "school_value_added", "school_slope_ml",
            "school_gender_main", "school_gender", "school_type_main", "school_type",
        }  # fmt: skip
    assert config.datasets["london"].expect == {"rows_read": 4059, "rows": 4059, "clusters": 65}


def test_null_of_a_comparison_needs_no_quotes():
    assert None in CONFIG["comparisons"]["gender"]  # as YAML reads it
    config = copy.deepcopy(CONFIG)
    for part in config["comparisons"].values():
        part["null"] = part.pop(None)
    assert reading.load(config) == reading.load(CONFIG)


def test_json_and_back():
    config = reading.load(CONFIG)
    assert Config.from_json(config.to_json()) == config


def reordered(value):
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(list(value))}
    return value


def test_order_of_keys_changes_nothing():
    assert reading.load(reordered(CONFIG)).to_json() == reading.load(CONFIG).to_json()


def test_rankings_beside_come_along_the_covariate():
    beside = {
        "z": "lrt_groupc",
        "high": {"at": {"lrt_groupc": 10}},
        "low": {"at": {"lrt_groupc": -10}},
    }
    config = reading.load(changed("models/school_slope/rank/beside", beside))
    rank = config.models["school_slope"].rank
    assert [name for name, _ in rank.beside] == ["low", "high", "z"]


def test_order_of_dependent_derivations_is_kept():
    derive = {"z": "x + 1", "a": "z * 2", "x": "x * 10", "b": "x"}
    config = changed("datasets/london/derive", derive)
    names = [name for name, _ in reading.load(config).datasets["london"].derive]
    assert names.index("z") < names.index("a") and names.index("z") < names.index("x")
    assert names.index("x") < names.index("b")


def test_derivations_in_a_circle_keep_the_order_of_writing():
    for derive in ({"a": "b + 1", "b": "a + 1"}, {"b": "a + 1", "a": "b + 1"}):
        config = reading.load(changed("datasets/london/derive", derive))
        assert list(config.datasets["london"].derive) == list(derive.items())


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
        reading.read(path)
    assert "\n" not in str(caught.value)


def test_merge_keys(tmp_path):
    """What `<<` brings in counts as a default: a key beside it is no second one."""
    path = tmp_path / "c.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", encoding="utf-8")
    assert reading.parse(path)["b"] == {"x": 1, "y": 3}


def test_missing_file():
    with pytest.raises(ConfigError, match="there is no such file"):
        reading.read("nowhere.yaml")


def test_start_up_is_light():
    """Every start of Snakemake reads configuration, code and data files: no numpy, no pandas."""
    rules = "\n".join(path.read_text("utf-8") for path in (ROOT / "workflow/rules").glob("*.smk"))
    imports = re.findall(r"^from mixedflow\S* import .+$", rules, re.MULTILINE)
    assert len(imports) > 5
    code = "\n".join(
        [
            "import json, sys",
            "from pathlib import Path",
            *imports,
            "reading.read('config.yaml')",
            "code_digest(Path('workflow/scripts/fit.py'))",
            "source_digest(['config.yaml'])",
            "print(json.dumps(sorted(sys.modules)))",
        ]
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(json.loads(out.stdout))
    assert not loaded & {"numpy", "pandas", "scipy", "matplotlib", "statsmodels", "formulaic"}


@pytest.mark.parametrize(
    ("part", "line", "told"),
    [
        ("models: {yes: {dataset: d}}", 2, "YAML reads the name yes as true; put it in quotes"),
        ("datasets: {d: {labels: {Off: x}}}", 2, "YAML reads the name Off as false"),
        ("rows: 0360", 2, "YAML does not read 0360 as it looks"),
        ("rows: -010", 2, "YAML does not read -010 as it looks"),
        ("rows: 4:00", 2, "YAML does not read 4:00 as it looks"),
        ("rows: 4:00.5", 2, "YAML does not read 4:00.5 as it looks"),
    ],
)
def test_what_yaml_reads_as_something_else(tmp_path, part, line, told):
    (tmp_path / "c.yaml").write_text(f"a: 1\n{part}\n", "utf-8")
    with pytest.raises(
        ConfigError, match=re.escape(f"c.yaml, line {line}: not valid YAML: {told}")
    ):
        reading.parse(tmp_path / "c.yaml")


def test_in_quotes_they_are_text_and_other_numbers_are_numbers(tmp_path):
    numbers = "[0, 10, -1, 1_000, 0x1F, 0o17, 1.5, 1e3, .5, 0.10, 00:x]"
    text = f"'yes': '0360'\n'off': '4:00'\na: {numbers}\n"
    (tmp_path / "c.yaml").write_text(text, "utf-8")
    assert reading.parse(tmp_path / "c.yaml") == {
        "yes": "0360", "off": "4:00",
        "a": [0, 10, -1, 1000, 31, "0o17", 1.5, "1e3", 0.5, 0.1, "00:x"],
    }  # fmt: skip


def test_a_name_that_snakemake_has_read_as_a_truth_value():
    config = copy.deepcopy(CONFIG)
    config["models"][True] = config["models"]["growth"]
    with pytest.raises(
        ConfigError, match="models: YAML reads the name yes, on or true as True; put"
    ):
        reading.load(config)


def test_too_many_values_are_refused_before_they_are_read(tmp_path, monkeypatch):
    labels = "\n".join(f"  c{k}: label {k}" for k in range(110_000))
    (tmp_path / "c.yaml").write_text(f"labels:\n{labels}\n", "utf-8")
    monkeypatch.setattr(reading.yaml, "load", None)
    with pytest.raises(ConfigError, match=r"c\.yaml: more than 100000 values"):
        reading.parse(tmp_path / "c.yaml")


@pytest.mark.parametrize("results", ["res.", "a./b", "a/b.", "res ."])
def test_folders_that_some_systems_rename(results):
    with pytest.raises(ConfigError, match="is not a folder for results"):
        reading.load(changed("results", results))
