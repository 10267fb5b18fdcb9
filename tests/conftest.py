"""One finished run of a small analysis, for the tests that break it in different ways."""

from __future__ import annotations

from pathlib import Path

import faults
import pytest


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of ``faults.tiny``; copy it before changing anything."""
    folder = faults.tiny(tmp_path_factory.mktemp("tiny"))
    ended = faults.run(folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder
