"""What an edit of the code reruns: the jobs whose outputs it may change, and no other.

Which scripts an edit concerns is known without a run: those whose digest it changes. That the
workflow asks for these digests, and for no more, the last tests show.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import faults
import pytest
import reruns

from mixedflow.jobs import digest

ALL = {path.stem for path in (faults.ROOT / "workflow" / "scripts").glob("*.py")}
SRC = "src/mixedflow"
DRAWS = (
    f"{SRC}/model/objective.py", f"{SRC}/inference/bootstrap.py", "workflow/scripts/bootstrap.py",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    """What was found in a file stays known until it has another content."""
    read, found = digest._read.__wrapped__, {}

    def remembered(path: Path, name: str, root: str) -> digest._Source:
        key = (path, path.read_bytes(), name, root)
        if key not in found:
            found[key] = read(path, name, root)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest, "_read", remembered)
        yield


@pytest.fixture(scope="module")
def before(checkout: Path) -> dict[str, str]:
    return digests(checkout)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faults.checkout(tmp_path_factory.mktemp("changes") / "checkout")


def digests(checkout: Path) -> dict[str, str]:
    """By script, of the code as it is now."""
    for remembered in (digest._path, digest.modules):
        remembered.cache_clear()
    scripts = sorted((checkout / "workflow" / "scripts").glob("*.py"))
    return {path.stem: digest.code_digest(path, checkout / SRC) for path in scripts}


def edits(
    checkout: Path, before: dict[str, str], names: tuple[str, ...], added: str = "_another = 1"
) -> set[str]:
    """The scripts whose jobs rerun after a line was added to files of the checkout."""
    kept = {checkout / name: (checkout / name).read_bytes() for name in names}
    try:
        for path, content in kept.items():
            path.write_bytes(content + f"\n{added}\n".encode())
        after = digests(checkout)
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    return {script for script, found in after.items() if found != before[script]}


# A file, and the scripts that its edit concerns.
CONCERNED = {
    f"{SRC}/prose/methods.py": {"report"},
    f"{SRC}/prose/references.bib": {"report"},
    f"{SRC}/report/paper.py": {"publish", "report", "word"},
    f"{SRC}/analysis/exploration.py": {"explore"},
    f"{SRC}/analysis/rank_moves.py": {"moves"},
    f"{SRC}/analysis/ranking.py": {"moves", "rank"},
    f"{SRC}/figures/ranking.py": {"rank"},
    f"{SRC}/figures/rank_lines.py": {"moves", "rank"},
    f"{SRC}/figures/models.py": {"draw", "residual_structure"},
    f"{SRC}/figures/mixedflow.mplstyle": {
        "draw", "explore", "family_table", "levels", "means", "moves", "rank",
        "residual_structure", "structures",
    },
    f"{SRC}/report/templates/card_page.html.j2": {"card", "report", "word"},
    f"{SRC}/report/templates/report/model.html.j2": {"report"},
    f"{SRC}/errors.py": ALL,
    f"{SRC}/__init__.py": ALL,
    f"{SRC}/cli/verify.py": set(),
    f"{SRC}/jobs/digest.py": set(),
    f"{SRC}/jobs/job.py": set(),
    "workflow/scripts/rank.py": {"rank"},
    "workflow/schemas/config.schema.yaml": set(),  # what it gives is in the configuration of a job
}  # fmt: skip


@pytest.mark.parametrize("name", CONCERNED)
def test_what_an_edit_concerns(checkout: Path, before: dict[str, str], name: str) -> None:
    assert edits(checkout, before, (name,)) == CONCERNED[name]


@pytest.mark.parametrize(
    ("name", "reruns", "spares"),
    [
        ("ranking/distribution", {"rank"}, {"fit", "prepare"}),
        ("model/objective", {"fit"}, {"prepare", "explore"}),
        ("data/preparation", {"prepare"}, {"publish"}),
    ],
)
def test_what_an_edit_reaches(
    checkout: Path, before: dict[str, str], name: str, reruns: set[str], spares: set[str]
) -> None:
    """Of modules that others import, too many to be named."""
    found = edits(checkout, before, (f"{SRC}/{name}.py",))
    assert reruns <= found and not spares & found


@pytest.mark.parametrize("added", ["# A comment.", '"""A note."""', "\n\n"])
def test_an_edit_that_runs_not(checkout: Path, before: dict[str, str], added: str) -> None:
    """Of modules that decide about draws of a bootstrap, and of a script."""
    assert edits(checkout, before, DRAWS, added) == set()


def test_an_edit_that_runs(checkout: Path, before: dict[str, str]) -> None:
    """Of each of these, for the test before to see something."""
    assert all("bootstrap" in edits(checkout, before, (name,)) for name in DRAWS)


def test_every_rule_asks_for_its_script() -> None:
    """The script that a rule runs is the one whose digest its parameters have."""
    found = set()
    for path in (faults.ROOT / "workflow" / "rules").glob("*.smk"):
        text = path.read_text("utf-8")
        for rule in re.split(r"^\s*(?:use )?rule\b", text, flags=re.MULTILINE):
            asked = set(re.findall(r"\btask\(\s*\"(\w+)\"", rule))
            runs = set(re.findall(r"\.\./scripts/(\w+)\.py", rule))
            assert asked == runs or (not runs and len(asked) < 2), rule
            found |= runs
    assert found == ALL


@pytest.mark.usefixtures("warm_jobs")
def test_what_the_workflow_makes_of_it(tiny_run: Path, tmp_path: Path) -> None:
    """Dry runs after a run: nothing for a comment or a new time, and what follows for code."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    faults.checkout(folder / "checkout")
    for path in (folder / "checkout").rglob("*.py"):
        path.write_text(f"# A comment.\n{path.read_text('utf-8')}", "utf-8")
    assert reruns.planned(folder) == set()
    with (folder / "checkout" / SRC / "report" / "paper.py").open("a") as stream:
        stream.write("_another = 1\n")
    assert reruns.planned(folder) == {"publish", "report"}
    with (folder / "checkout" / SRC / "figures" / "models.py").open("a") as stream:
        stream.write("_another = 1\n")
    assert reruns.planned(folder) == {"draw/line", "publish", "report"}
