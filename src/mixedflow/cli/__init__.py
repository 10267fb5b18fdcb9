"""The command ``mixedflow``: begin an analysis, check it, show a model, verify what is there.

Each command's module loads with the command: every job of an own Snakefile starts an interpreter
that wants :func:`workflow_file` alone. May import every layer.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mixedflow.errors import ConfigError, MixedflowError, nearest, plain, quote

COMMANDS = ("init", "check", "show", "verify")


def workflow_file(name: str) -> str:
    """Where a file of the workflow is: beside the installed package, or in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / name
    return str(installed if installed.exists() else package.parents[1] / name)


def config_file(name: str) -> str:
    """The name itself; a file that is there and no YAML ends the process with one line.

    Snakemake says neither the line nor the fault. Where there is no file it may have been given
    another (--configfile).
    """
    from mixedflow.config import reading

    try:
        if Path(name).exists():
            reading.parse(name)
    except MixedflowError as error:
        sys.exit(str(error))
    return name


def _init(given: argparse.Namespace) -> int:
    from mixedflow.cli import init

    roles = init.Roles(given.outcome, given.cluster[0], given.time, given.predictor)
    profile = Path(workflow_file(init.PROFILE))
    begun = init.init(given.file, roles, given.folder, given.best, given.cluster, profile=profile)
    print("assumed:", *map(plain, begun.assumed), sep="\n  ")
    *others, last = map(str, begun.paths)
    print("wrote", ", ".join(others), "and", last)
    there = "" if given.folder == Path() else f"in {given.folder}: "
    print(f"next, {there}mixedflow check, then snakemake --cores all")
    return 0


def _check(given: argparse.Namespace) -> int:
    from mixedflow.cli import check

    config = given.other or given.config
    found = check.check(config)
    print(*found.lines, sep="\n")
    if found.faults:
        print(*found.faults, sep="\n", file=sys.stderr)
        return 1
    print(f"{config}: no fault found; nothing was written")
    return 0


def _show(given: argparse.Namespace) -> int:
    from mixedflow.cli import show

    print(show.show(given.model, given.config, given.sd), end="")
    return 0


def _verify(given: argparse.Namespace) -> int:
    from mixedflow.cli import verify
    from mixedflow.config import reading

    own = Path("Snakefile")
    if not own.exists() and given.config is None:
        reading.parse("config.yaml")  # which the workflow then wants
    return verify.main(own if own.exists() else workflow_file("Snakefile"), given.config, given.key)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mixedflow", description="Multilevel analyses from YAML.")
    version = f"%(prog)s {importlib.metadata.version('mixedflow')}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    # Snakemake's own name of the option too: who changes the command keeps the rest of the line.
    other = ("--config", "--configfile")

    def command(name: str, run: Callable[[argparse.Namespace], int], what: str) -> Callable:
        added = commands.add_parser(name, help=what, description=what)
        added.set_defaults(run=run)
        return added.add_argument

    kinds = ".dta, .sav, .sas7bdat, .xlsx, .rds, .rdata, .csv, .tsv or .parquet"
    add = command("init", _init, "write a Snakefile and a config.yaml for a data file")
    add("file", type=Path, metavar="FILE", help=f"the data: {kinds}")
    add("--outcome", required=True, metavar="Y", help="the column to model")
    add(
        "--cluster",
        required=True,
        action="append",
        metavar="G",
        help="the column that groups the rows; a/b, or once for each of several",
    )
    add("--time", metavar="T", help="the column that orders the rows of a cluster")
    add("--predictor", metavar="X", help="a covariate; its slope may vary between clusters")
    add("--best", choices=("high", "low"), help="rank the clusters: which values are good")
    add("--folder", type=Path, default=Path(), metavar="F", help="the current one by default")
    add = command("check", _check, "hold a configuration against its data; runs nothing")
    add("config", nargs="?", type=Path, default=Path("config.yaml"), metavar="FILE")
    add(*other, type=Path, dest="other", metavar="FILE", help="the same, as snakemake takes it")
    add = command("show", _show, "print the table of a finished model")
    add("model", metavar="MODEL")
    add("--sd", action="store_true", help="standard deviations, not variances, of random effects")
    add(*other, type=Path, default=Path("config.yaml"), metavar="FILE")
    add = command("verify", _verify, "hold artifacts against what they were made from")
    add(*other, type=Path, metavar="FILE", help="that of the Snakefile by default")
    add("--key", type=Path, metavar="FILE", help="who must have signed the manifest: a public key")
    return parser


def _check_command(arguments: Sequence[str]) -> None:
    """Whoever looks for a command that fits finds Snakemake."""
    named = next(iter(arguments), "-")
    if named in COMMANDS or named.startswith("-"):
        return
    hint = nearest(named, COMMANDS, "commands")
    if "did you mean" not in hint:
        hint = f"snakemake --cores all runs an analysis; {hint}"
    raise ConfigError("mixedflow", f"no command {quote(named)}", hint)


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        _check_command(sys.argv[1:] if arguments is None else arguments)
    except MixedflowError as error:
        print(error, file=sys.stderr)
        return 2
    given = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names from data may hold letters that the terminal does not have.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        found: int = given.run(given)
    except (MixedflowError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return found
