"""One finished run of a small analysis, for the tests that break it in different ways."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import faults
import pytest

from mixedflow.jobs import warm

# Files whose tests take minutes, or wait: begun first, they end beside the others.
LONG = (
    "whole/test_slurm", "whole/test_workflow", "whole/test_docs", "whole/test_touched",
    "whole/test_reruns", "cli/test_cli", "cli/test_init", "report/test_browser",
    "whole/test_chunks", "cli/test_verify", "whole/test_code_changes", "whole/test_families",
    "whole/test_fuzz", "artifacts/test_registry", "whole/test_modules", "whole/test_interrupted",
)  # fmt: skip
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {TESTS / f"{name}.py": k for k, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


@pytest.fixture(scope="session")
def warm_address() -> Iterator[str]:
    """A process for the jobs of all runs of this checkout's code: each would start its own.

    That runs do, tests/whole/test_workflow.py and test_packaging.py show.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(warm.ADDRESS, "")
        patch.setenv("PYTHONPATH", str(faults.ROOT / "src"))
        warm.start(faults.ROOT / "workflow" / "scripts")
        address = os.environ[warm.ADDRESS]
    held = warm._held
    assert held and held.stdin
    yield address
    held.stdin.close()
    assert held.wait(60) == 0


@pytest.fixture(scope="module")
def warm_jobs(warm_address: str) -> Iterator[None]:
    """Runs of a module whose code is this checkout's have their jobs there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(warm.ADDRESS, warm_address)
        yield


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, warm_address: str) -> Path:
    """A finished run of ``faults.tiny``; copy it before changing anything."""
    folder = faults.tiny(tmp_path_factory.mktemp("tiny"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(warm.ADDRESS, warm_address)
        ended = faults.run(folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder
