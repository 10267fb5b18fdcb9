"""One finished run of a small analysis, for the tests that break it in different ways."""

from __future__ import annotations

from pathlib import Path

import faults
import pytest

# Files whose tests take minutes, or wait: begun first, they end beside the others.
LONG = (
    "test_slurm", "test_workflow", "test_docs", "test_reruns", "test_start", "test_report_browser",
    "test_chunks", "test_provenance", "test_family", "test_figures", "test_fuzz",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: k for k, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of ``faults.tiny``; copy it before changing anything."""
    folder = faults.tiny(tmp_path_factory.mktemp("tiny"))
    ended = faults.run(folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder
