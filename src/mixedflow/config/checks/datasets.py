"""Data sets: one source, safe expressions, and what can be done in chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixedflow.config import order
from mixedflow.config.addresses import check_address
from mixedflow.errors import ConfigError, quote
from mixedflow.language import expressions, formula

CHUNKED = (".parquet", ".dta", ".sav", ".sas7bdat")


def checked(where: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a data set in their canonical form: derivations in order, files of chunks.

    Raises
    ------
    ConfigError, SourceError, ExpressionError, FormulaError
        The first fault, at its key below ``where``.
    """
    _source(f"{where}.source", values["source"])
    for variable, text in values["derive"]:
        expressions.check(text, f"{where}.derive.{variable}")
    if values["filter"] is not None:
        expressions.check(values["filter"], f"{where}.filter")
    found = {**values, "derive": order.derivations(values["derive"])}
    if found["chunks"] or found["source"]["files"]:
        found["source"] = _in_chunks(where, found)
        _whole(where, found)
    if found["explore"] is not None:
        _explore(f"{where}.explore", found["explore"], found["time"])
    return found


def _source(where: str, source: Mapping[str, Any]) -> None:
    given = [key for key in ("file", "files", "rdataset", "url") if source[key]]
    if len(given) != 1:
        raise ConfigError(
            where, f"{len(given)} of file, files, rdataset and url are given",
            "exactly one is needed",
        )  # fmt: skip
    for path in (source["file"] or "", *source["files"]):
        if set(path) & set("{}"):
            raise ConfigError(
                f"{where}.{given[0]}",
                f"{quote(path)} has braces, which Snakemake takes for a wildcard",
                "rename the file",
            )  # fmt: skip
    if source["url"]:
        check_address(source["url"], f"{where}.url")
    if source["rdataset"] and source["sha256"]:
        raise ConfigError(
            f"{where}.sha256", "is checked for file and url only",
            "leave it out, or count rows with expect",
        )  # fmt: skip


def _in_chunks(where: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The source of a data set that is read in chunks: its files are in ``files``, if one only."""
    source = dict(values["source"])
    if not values["chunks"]:
        raise ConfigError(
            f"{where}.source.files", "several files are read in chunks",
            "add chunks: 1, or more if a file does not fit in memory",
        )  # fmt: skip
    if source["file"]:
        # From here on there is one place to look for the files of a data set in chunks.
        source |= {"file": None, "files": [source["file"]]}
    for path in source["files"]:
        if not path.lower().endswith(CHUNKED):
            raise ConfigError(
                f"{where}.source", f"{quote(path)} cannot be read in chunks",
                f"convert it: {', '.join(CHUNKED)}",
            )  # fmt: skip
    if not source["files"]:
        raise ConfigError(f"{where}.chunks", "need a file or files as the source")
    return source


def _whole(where: str, values: Mapping[str, Any]) -> None:
    """What needs all rows at once is refused for a data set that is read in chunks."""
    for key, given in (
        ("sha256", values["source"]["sha256"]),
        ("first_per", values["first_per"]),
    ):
        if given:
            raise ConfigError(
                where, f"{key} needs all rows at once, and chunks have not",
                "leave it out, or do it where the files are made",
            )  # fmt: skip
    if values["explore"]:
        raise ConfigError(
            f"{where}.explore", "needs all rows at once, and chunks have not",
            "explore a data set of some clusters beside this one",
        )  # fmt: skip
    texts = [(f"derive.{variable}", text) for variable, text in values["derive"]]
    if values["filter"] is not None:
        texts.append(("filter", values["filter"]))
    for key, text in texts:
        used = expressions.summaries(text)
        if used:
            raise ConfigError(
                f"{where}.{key}", f"{used[0]}() needs all rows at once, and chunks have not",
                "compute it where the files are made, or centre by a number",
            )  # fmt: skip


def _explore(where: str, explore: Mapping[str, Any], time: str | None) -> None:
    if explore["predictor"] is None and time is None:
        raise ConfigError(where, "needs a predictor", "or give the data set a time")
    if (explore["visit"] is None) != (explore["trend"] is None):
        raise ConfigError(where, "visit and trend come together")
    if explore["trend"] is not None:
        if time is None:
            raise ConfigError(where, "visit and trend need the data set's time")
        parsed = formula.parse(explore["trend"], f"{where}.trend")
        if parsed.groups:
            raise ConfigError(f"{where}.trend", "is a formula of fixed effects only")
