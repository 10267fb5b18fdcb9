"""Every artifact stands in the registry once, and a run leaves what the registry says."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import faults
import pandas as pd
import pytest
import yaml
from markupsafe import escape
from pandas.api.types import is_numeric_dtype
from parsed_page import everything

from mixedflow.artifacts import registry, stored
from mixedflow.artifacts.registry import (
    APPENDIX,
    ARTIFACTS,
    FAMILY,
    FIGURE,
    PAGE,
    TABLE,
    Artifact,
    File,
)
from mixedflow.jobs import digest
from mixedflow.prose import captions

pytestmark = pytest.mark.usefixtures("warm_jobs")

ROOT = Path(__file__).resolve().parents[2]
FILES = [file for artifact in ARTIFACTS for file in artifact.files]
ABOUT = ("outcome",)  # what sets the members of the family apart


def configuration() -> dict[str, Any]:
    """An analysis that leaves every artifact there is."""
    model = {"dataset": "visits", "method": "ml"}
    return {
        "datasets": {
            "visits": {
                "source": {"file": "visits.csv"},
                "cluster": "g",
                "time": "t",
                "explore": {"outcome": "y", "visit": "t", "trend": "y ~ t"},
            },
            "parts": {"source": {"files": ["parts.parquet"]}, "cluster": "g", "chunks": 2},
        },
        "models": {
            "flat": {**model, "formula": "y ~ 1 + (1 | g)"},
            "line": {
                **model,
                "formula": "y ~ t + (1 | g)",
                "inference": {
                    "intervals": "bootstrap",
                    "draws": 40,
                    "contrasts": {"rise": "-t"},
                    "gee": ["exchangeable", {"ar1": "t"}],
                },
            },
            "lines": {**model, "formula": "y ~ t + (1 + t | g)", "rank": {"by": "Intercept"}},
            "serial": {**model, "formula": "y ~ t", "residual": {"correlation": {"car1": "t"}}},
            "summed": {"dataset": "parts", "formula": "y ~ t + (1 | g)"},
            "two": {
                **model,
                "formula": "y ~ t + (1 | g) + (1 | h)",
                "means": {"times": {"by": "t", "at": {"t": [0, 1, 2]}, "pairs": "t"}},
            },
        },
        "comparisons": {"rise": {"null": "flat", "alternative": "line", "bootstrap": 20}},
        "structures": {
            "over_t": {
                "dataset": "visits",
                "formula": "y ~ t",
                "effect": "t",
                "fits": {
                    "intercept": {"random": "(1 | g)"},
                    "ar1": {"residual": {"correlation": {"car1": "t"}}},
                },
            }
        },
        "report": {"docx": True, "xlsx": True},
        "families": {
            "both": {
                "dataset": "visits",
                "formula": "{outcome} ~ t + (1 | g)",
                "for": {"outcome": ["y", "constant"]},
            }
        },
    }


def rows() -> pd.DataFrame:
    draw, found = random.Random(7), []
    for cluster in range(14):
        start, slope = draw.gauss(0, 2), draw.gauss(1, 0.5)
        for t in range(6):
            y, half = start + slope * t + draw.gauss(0, 1), f"h{(cluster + t) % 5}"
            found.append((f"c{cluster}", t, y, 1.0, half))
    return pd.DataFrame(found, columns=["g", "t", "y", "constant", "h"])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("everything")
    rows().to_csv(folder / "visits.csv", index=False)
    rows().to_parquet(folder / "parts.parquet", row_group_size=40)
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration()), "utf-8")
    ended = faults.start(folder)
    said, _ = ended.communicate(timeout=300)
    assert ended.returncode == 0, said[-3000:]
    return folder / "results"


def files_at(place: str) -> list[File]:
    """The files of the registry that a path below the results may be."""
    return [file for file in FILES if re.fullmatch(pattern(file.path), place)]


def pattern(path: str) -> str:
    return "".join(
        "[^/]+" if part.startswith("{") else re.escape(part)
        for part in re.split(r"(\{\w+\})", path)
    )


def left(results: Path) -> list[str]:
    """What a run left for people and programs, below the results."""
    found = [path.relative_to(results) for path in results.rglob("*") if path.is_file()]
    return sorted(
        path.as_posix()
        for path in found
        if path.parts[0] != "records" and path.name != ".snakemake_timestamp"
    )


def test_what_is_seen_has_a_caption_and_every_caption_is_of_something() -> None:
    shown = [a for a in ARTIFACTS if a.stage is not APPENDIX]
    seen = {a.name for a in shown if a.format in (TABLE, FIGURE, PAGE)}
    assert seen == set(captions.ALL)
    described = {name for name, caption in captions.ALL.items() if caption.alt}
    assert described == {a.name for a in ARTIFACTS if a.format == FIGURE}


def test_an_artifact_stands_there_once() -> None:
    assert len({file.path for file in FILES}) == len(FILES)


def test_a_label_in_one_table_is_no_number_in_another() -> None:
    for artifact in ARTIFACTS:
        assert set(artifact.header) & registry.labels() == set(artifact.labels) - {"*"}, artifact


@pytest.mark.parametrize(
    "script", ["prepare", "reduce", "gather", "add", "bootstrap", "fit", "family_batch"]
)
def test_what_is_shown_fits_nothing_anew(script: str) -> None:
    shown = re.compile(r"mixedflow\.(prose|figures|report|ranking|artifacts\.(registry|stored))\b")
    used = digest.modules(ROOT / "workflow" / "scripts" / f"{script}.py")
    assert used and not [name for name in used if shown.match(name)]


def test_a_run_leaves_every_artifact_and_nothing_else(results: Path) -> None:
    found = {place: files_at(place) for place in left(results)}
    assert [place for place, files in found.items() if len(files) != 1] == []
    assert {file for files in found.values() for file in files} == set(FILES)


def test_the_manifest_names_the_rules(results: Path) -> None:
    manifest = json.loads((results / "manifest.json").read_text("utf-8"))
    jobs = {
        place.removeprefix("results/"): artifact["job"].split("/")[0]
        for place, artifact in manifest["artifacts"].items()
    }
    # Sums of chunks are not kept for the manifest, which is not in itself either.
    assert set(left(results)) - set(jobs) == {
        "manifest.json",
        *(f"datasets/parts/.chunks/1-{part}.npz" for part in (1, 2)),
    }
    assert [p for p, rule in jobs.items() if rule not in files_at(p)[0].rules] == []
    # A job's record is named after the rule that its variants vary.
    for name, job in manifest["jobs"].items():
        rule = name.split("/")[0].removesuffix("_batch")
        assert job["rule"] == rule or job["rule"].startswith(f"{rule}_")


def matches(header: list[str], artifact: Artifact) -> bool:
    """Whether columns are those of a table, patterns standing for any number of them."""
    at = 0
    for name in artifact.header:
        if "*" not in name:
            if header[at : at + 1] != [name]:
                return False
            at += 1
        else:
            after = artifact.header[artifact.header.index(name) + 1 :][:1]
            while at < len(header) and fnmatchcase(header[at], name) and header[at] not in after:
                at += 1
    return at == len(header)


def test_tables_have_the_columns_of_the_registry(results: Path) -> None:
    tables = [place for place in left(results) if place.endswith(".csv")]
    assert len(tables) > 50
    for place in tables:
        (file,) = files_at(place)
        artifact = file.artifact
        frame = stored.read(results / place, texts=ABOUT if artifact.stage is FAMILY else ())
        assert matches(list(frame.columns), artifact), (place, list(frame.columns))
        words = {str(name) for name in frame.columns if not is_numeric_dtype(frame[name])}
        labels = [*artifact.labels, *ABOUT]
        unknown = [name for name in words if not any(fnmatchcase(name, one) for one in labels)]
        assert not len(frame) or unknown == [], (place, unknown)


def test_the_report_shows_every_figure(results: Path) -> None:
    page = everything(results)
    shown = re.findall(r'<figure id="[^"]+"(?: class="wide")?>.*?</figure>', page, re.DOTALL)
    titles = {str(escape(captions.ALL[a.name].title)) for a in ARTIFACTS if a.format == FIGURE}
    told = {title for title in titles if any(f">{title}</a></b>" in one for one in shown)}
    assert told == titles


def test_a_caption_is_told_once(results: Path) -> None:
    """In the glossary, to which every table and figure links."""
    glossary = (results / "appendix" / "glossary.html").read_text("utf-8")
    texts = [str(escape(c.text)) for n, c in captions.ALL.items() if n != "report"]
    assert [text for text in texts if f"<dd>{text}</dd>" not in glossary] == []
    others = everything(results).replace(glossary, "")
    assert [text for text in texts if text in others] == []
    linked = set(re.findall(r'appendix/glossary.html#([^"]+)"', others))
    assert linked and linked <= set(re.findall(r'id="([^"]+)"', glossary))


def test_an_apostrophe_that_guards_a_label_is_not_shown(results: Path) -> None:
    written = (results / "models" / "line" / "contrasts.csv").read_text("utf-8")
    page = (results / "models" / "line" / "contrasts.html").read_text("utf-8")
    assert "'-t" in written and "<td>-t</td>" in page


def test_the_registry_needs_the_standard_library_alone() -> None:
    """It is read at each start of Snakemake, for each of its jobs."""
    code = "import sys, mixedflow.artifacts.registry; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert not {"numpy", "pandas", "matplotlib"} & set(ran.stdout.split())
