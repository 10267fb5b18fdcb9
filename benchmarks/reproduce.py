"""Two runs of the committed default analysis, and whether they leave the same bytes.

``make reproduce`` clones the last commit into two temporary folders and runs it there with one
core and with two, from folders of different depth, under another time zone, language, hash seed,
umask and home. Every file of the results is compared. Exit code 1 and a list of files if any
differ.
"""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIRST = {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"}
SECOND = {"TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2"}


def run(
    folder: Path, cores: int, environment: dict[str, str], umask: int, python: str = sys.executable
) -> Path:
    """The results of the last commit, run in ``folder`` with a home of its own."""
    clone = ["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)]
    subprocess.run(clone, check=True)
    subprocess.run(["git", "-C", str(folder), "rm", "-rq", "results"], check=True)
    home = folder.parent / "home"
    home.mkdir()
    subprocess.run(
        [python, "-m", "snakemake", "--cores", str(cores), "--quiet", "all"],
        cwd=folder,
        env={
            **os.environ,
            **environment,
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "PYTHONPATH": str(folder / "src"),
        },
        umask=umask,
        check=True,
    )
    return folder / "results"


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        one = run(base / "a" / "run", 1, FIRST, umask=0o022)
        two = run(base / "b" / "much" / "deeper" / "run", 2, SECOND, umask=0o077)
        both = files(one) & files(two)
        differing = sorted(files(one) ^ files(two)) + sorted(
            path for path in both if not filecmp.cmp(one / path, two / path, shallow=False)
        )
    for path in differing:
        print(f"differs: {path}")
    print(f"{len(both)} files in both runs, {len(differing)} differ")
    return 1 if differing or not both else 0


if __name__ == "__main__":
    sys.exit(main())
