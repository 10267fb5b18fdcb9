"""One finished run of a small analysis, for the tests that break it in different ways."""

from __future__ import annotations

from pathlib import Path

import faults
import pytest

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
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of ``faults.tiny``; copy it before changing anything."""
    folder = faults.tiny(tmp_path_factory.mktemp("tiny"))
    ended = faults.run(folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder
