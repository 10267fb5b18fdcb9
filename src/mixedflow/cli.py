"""The command ``mixedflow``: ``mixedflow init`` begins an analysis in a folder of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mixedflow.errors import ConfigError, MixedflowError

_SNAKEFILE = """\
from mixedflow.cli import workflow_file


configfile: "config.yaml"


module mixedflow:
    snakefile:
        workflow_file("Snakefile")
    config:
        config


use rule * from mixedflow
"""


def workflow_file(name: str) -> str:
    """Where a file of the workflow is: beside the installed package, or in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / name
    return str(installed if installed.exists() else package.parents[1] / name)


def init(folder: Path) -> list[Path]:
    """Write the config.yaml and Snakefile of a new analysis into ``folder``.

    Raises
    ------
    ConfigError
        One of the files is there already; nothing is written then.
    """
    starter = Path(workflow_file("workflow/starter.yaml")).read_text("utf-8")
    texts = {folder / "config.yaml": starter, folder / "Snakefile": _SNAKEFILE}
    for path in texts:
        if path.exists():
            raise ConfigError(str(path), "the file is there already", "choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, "utf-8")
    return list(texts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mixedflow", description="Multilevel analyses from YAML.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("init", help="write a config.yaml and a Snakefile to begin with")
    command.add_argument("folder", nargs="?", default=".", type=Path)
    folder = parser.parse_args(arguments).folder
    try:
        written = init(folder)
    except (MixedflowError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print("wrote", " and ".join(map(str, written)))
    print("describe your data and models in config.yaml, then: snakemake --cores all")
    return 0
