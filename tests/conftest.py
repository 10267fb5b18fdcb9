"""What tests of several layers share: a warm process, and a finished run of a small analysis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import faults
import pytest
import warm_snakemake
from shared import once, warm_runs

# Files whose tests take minutes, or wait: begun first, they end beside the others.
LONG = (
    "whole/test_slurm", "whole/test_workflow", "report/test_browser", "whole/test_docs",
    "whole/test_touched", "whole/test_reruns", "artifacts/test_registry", "whole/test_chunks",
    "whole/test_modules", "whole/test_residual", "whole/test_interrupted", "whole/test_fuzz",
    "cli/test_verify", "cli/test_cli", "whole/test_code_changes", "whole/test_factors",
    "whole/test_families",
)  # fmt: skip
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {TESTS / f"{name}.py": k for k, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


def pytest_configure(config: pytest.Config) -> None:
    """One process for the Snakemakes and the jobs of all tests: each would start its own.

    That runs do, tests/whole/test_interrupted.py shows.
    """
    if not hasattr(config, "workerinput"):
        stack = contextlib.ExitStack()
        stack.enter_context(warm_snakemake.started())
        config.add_cleanup(stack.close)


@pytest.fixture(scope="module")
def warm_jobs() -> Iterator[None]:
    """For modules whose runs are of this checkout's code."""
    with warm_runs():
        yield


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of ``faults.tiny``; copy it before changing anything."""

    def make(folder: Path) -> None:
        with warm_runs():
            ended = faults.run(faults.tiny(folder))
        assert ended.returncode == 0, ended.stdout + ended.stderr

    return once(tmp_path_factory, "tiny", make)
