"""``mixedflow init``: a Snakefile and a commented config.yaml for a data file of one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mixedflow.cli import factors
from mixedflow.cli.columns import Roles
from mixedflow.cli.plan import Plan
from mixedflow.cli.starter import Starter
from mixedflow.cli.wide import measurement, told, wide
from mixedflow.config.specs import SourceSpec
from mixedflow.data.raw import RawData
from mixedflow.data.reading import Reading
from mixedflow.data.sources import read_source
from mixedflow.errors import ConfigError, MixedflowError

# How Snakemake runs in its folder: after an interruption a plain run goes on.
PROFILE = "profiles/default/config.yaml"
SNAKEFILE = """\
# Loads the installed mixedflow as a module; what it does is in config.yaml.
from mixedflow.cli import config_file, workflow_file


configfile: config_file("config.yaml")


module mixedflow:
    snakefile:
        workflow_file("Snakefile")
    config:
        config


use rule * from mixedflow
"""


@dataclass(frozen=True)
class Begun:
    """The files that were written, and what was assumed in writing them, in lines."""

    paths: list[Path]
    assumed: list[str]


def init(
    file: Path,
    roles: Roles,
    folder: Path,
    best: str | None = None,
    grouped_by: Sequence[str] = (),
    *,
    profile: Path,
) -> Begun:
    """Write config.yaml, Snakefile and Snakemake's profile for ``file`` into ``folder``.

    ``profile`` is the one that the clone has.

    ``grouped_by`` are columns of several grouping factors, ``a/b`` for nested ones; of others, the
    data say whether they are nested or crossed. Without it, ``roles`` has the cluster.

    The configuration is checked against the data, and its models are fitted, before anything is
    written. ``best``, "high" or "low", ranks the clusters; nobody is ranked without it.

    Raises
    ------
    ConfigError
        One of the files is there already, an unknown column, a column with two roles.
    SourceError, DataError, FormulaError, ModelError
        The file cannot be read, or a column cannot have its role.
    """
    paths = [folder / name for name in ("config.yaml", "Snakefile", PROFILE)]
    for path in paths:
        if os.path.lexists(path):
            raise ConfigError(
                str(path), "is there already", "nothing was written; choose another --folder"
            )
    base = Path(os.path.realpath(folder))
    inside = Path(os.path.realpath(file.parent)) / file.name
    source = SourceSpec(str(file), None, None, None, 1)
    names = factors.names_in(grouped_by or [roles.cluster])
    reading = Reading(frozenset(names))
    raw = read_source(source, Path(), Path(), "mixedflow init", reading)
    found = factors.grouping(raw, grouped_by or [roles.cluster])
    if len(found.columns) > 1:
        roles = replace(roles, cluster=found.chains[0][0], grouping=found)
    shown = Path(os.path.relpath(inside, base)).as_posix()
    try:
        starter = Starter(Plan(raw, roles, file.stem), shown, best)
    except MixedflowError as error:
        raise _of_wide(error, raw, roles) from None
    contents = (starter.text, SNAKEFILE, profile.read_text("utf-8"))
    written: list[Path] = []
    try:
        for path, content in zip(paths, contents, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as stream:
                written.append(path)
                stream.write(content)
    except OSError:
        for path in written:
            path.unlink()
        raise
    return Begun(written, starter.assumed)


def _of_wide(error: MixedflowError, raw: RawData, roles: Roles) -> MixedflowError:
    """The error; of an outcome that has a column an occasion, with that as its reason."""
    for pattern, columns in wide(raw.frame).items():
        if roles.outcome in (measurement(pattern), *columns):
            return type(error)(error.where, error.what, told(pattern, columns))
    return error
