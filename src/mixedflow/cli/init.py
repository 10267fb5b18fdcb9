"""``mixedflow init``: a Snakefile and a commented config.yaml for a data file of one's own."""

from __future__ import annotations

import os
from pathlib import Path

from mixedflow.cli.columns import Roles
from mixedflow.cli.starter import Starter
from mixedflow.config.specs import SourceSpec
from mixedflow.data.labels import Reading
from mixedflow.data.sources import read_source
from mixedflow.errors import ConfigError

SNAKEFILE = """\
# Loads the installed mixedflow as a module; what it does is in config.yaml.
from mixedflow.cli import workflow_file


configfile: "config.yaml"


module mixedflow:
    snakefile:
        workflow_file("Snakefile")
    config:
        config


use rule * from mixedflow
"""


def init(file: Path, roles: Roles, folder: Path) -> list[Path]:
    """Write config.yaml and Snakefile for ``file`` into ``folder``; return their paths.

    The configuration is checked against the data before anything is written.

    Raises
    ------
    ConfigError
        One of the two files is there already, an unknown column, a column with two roles.
    SourceError, DataError, FormulaError, ModelError
        The file cannot be read, or a column cannot have its role.
    """
    paths = [folder / "config.yaml", folder / "Snakefile"]
    for path in paths:
        if os.path.lexists(path):
            raise ConfigError(
                str(path), "is there already", "nothing was written; choose another --folder"
            )
    base = Path(os.path.realpath(folder))
    inside = Path(os.path.realpath(file.parent)) / file.name
    source = SourceSpec(str(file), None, None, None, 1)
    raw = read_source(source, Path(), Path(), "mixedflow init", Reading(roles.cluster))
    text = Starter(raw, roles, Path(os.path.relpath(inside, base)).as_posix(), file.stem).text()
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for path, content in zip(paths, (text, SNAKEFILE), strict=True):
            with path.open("x", encoding="utf-8") as stream:
                written.append(path)
                stream.write(content)
    except OSError:
        for path in written:
            path.unlink()
        raise
    return written
