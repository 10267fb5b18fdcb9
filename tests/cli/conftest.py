"""The commands, and the file of a stranger with which a new user begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from visits import Run, save

from mixedflow import cli


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the file of a stranger, with which a new user begins. Left as it is."""
    folder = tmp_path_factory.mktemp("visits")
    save(folder / "2 Visits, 2024.sav")
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command
