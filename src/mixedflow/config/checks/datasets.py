"""Data sets: one source, safe expressions, and what can be done in chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import PurePosixPath
from typing import Any

from mixedflow.config import order
from mixedflow.config.addresses import check_address
from mixedflow.config.checks import chunks
from mixedflow.config.specs import FileKeys
from mixedflow.errors import ConfigError, quote
from mixedflow.language import expressions, formula

_OF_FORMAT = {"sheet": (".xlsx",), "object": (".rdata", ".rda")}
_TEXT_KEYS = [key.name for key in fields(FileKeys) if key.name not in ("missing", *_OF_FORMAT)]
_TYPED = (*chunks.CHUNKED, ".xlsx", ".rds", ".rdata", ".rda")


def checked(where: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a data set in their canonical form: derivations in order, files of chunks.

    Raises
    ------
    ConfigError, SourceError, ExpressionError, FormulaError
        The first fault, at its key below ``where``.
    """
    _source(f"{where}.source", values["source"])
    for one in values["join"]:
        _no_braces(f"{where}.join.file", one["file"])
    if values["reshape"] is not None:
        _reshape(f"{where}.reshape", values["reshape"])
    for variable, text in values["derive"]:
        expressions.check(text, f"{where}.derive.{variable}")
    if values["filter"] is not None:
        expressions.check(values["filter"], f"{where}.filter")
    found = {**values, "derive": order.derivations(values["derive"])}
    if found["chunks"] or found["source"]["files"]:
        found["source"] = chunks.source(where, found)
        chunks.check_dataset(where, found)
    if found["time"] == found["cluster"]:
        raise ConfigError(
            f"{where}.time", f"{quote(found['time'])} is the data set's cluster", "leave it out"
        )
    if found["explore"] is not None:
        _explore(f"{where}.explore", found)
    return found


def _source(where: str, source: Mapping[str, Any]) -> None:
    given = [key for key in ("file", "files", "rdataset", "url") if source[key]]
    if len(given) != 1:
        raise ConfigError(
            where, f"{len(given)} of file, files, rdataset and url are given",
            "exactly one is needed",
        )  # fmt: skip
    for path in (source["file"] or "", *source["files"]):
        _no_braces(f"{where}.{given[0]}", path)
    _text_keys(where, source)
    if source["url"]:
        check_address(source["url"], f"{where}.url")
    if source["rdataset"] and source["sha256"]:
        raise ConfigError(
            f"{where}.sha256", "is checked for file and url only",
            "leave it out, or count rows with expect",
        )  # fmt: skip


def _reshape(where: str, reshape: Mapping[str, Any]) -> None:
    columns, occasion = reshape["columns"], reshape["occasion"]
    if occasion in columns:
        raise ConfigError(f"{where}.occasion", f"{quote(occasion)} is one of the new columns too")
    lengths = {name: len(old) for name, old in columns.items() if not isinstance(old, str)}
    for name, old in columns.items():
        if isinstance(old, str) and old.count("*") != 1:
            raise ConfigError(
                f"{where}.columns.{name}", f"{quote(old)} has no * that stands for a number",
                "write gpa*, or a list of columns",
            )  # fmt: skip
    if reshape["values"] is not None:
        lengths["values"] = len(reshape["values"])
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {number}" for name, number in lengths.items())
        raise ConfigError(where, "the occasions are not as many in each list", told)


def _no_braces(where: str, path: str) -> None:
    if set(path) & set("{}"):
        raise ConfigError(
            where, f"{quote(path)} has braces, which Snakemake takes for a wildcard",
            "rename the file",
        )  # fmt: skip


def _text_keys(where: str, source: Mapping[str, Any]) -> None:
    """The keys of text are for text, and none contradicts another."""
    given = [key for key in _TEXT_KEYS if source[key] is not None]
    paths = [source["rdataset"] or source["file"] or "", *source["files"]]
    typed = source["rdataset"] or any(path.lower().endswith(_TYPED) for path in paths)
    if given and typed:
        raise ConfigError(
            f"{where}.{given[0]}", f"is for text such as .csv, and {quote(paths[0])} is none",
            "leave it out",
        )  # fmt: skip
    for key, suffixes in _OF_FORMAT.items():
        parts = {part for path in paths for part in PurePosixPath(path.lower()).suffixes}
        if source[key] is not None and not source["url"] and not parts & {*suffixes, ".zip"}:
            what = f"is for {suffixes[0]}, and {quote(paths[0])} is none"
            raise ConfigError(f"{where}.{key}", what, "leave it out")
    if source["decimal"] and source["decimal"] == source["thousands"]:
        what = f"{quote(source['decimal'])} cannot be the decimal sign and group thousands"
        raise ConfigError(f"{where}.thousands", what)
    if source["encoding"] is not None:
        try:
            "".encode(source["encoding"])
        except (LookupError, ValueError):
            hint = "such as utf-8, utf-16, latin-1, cp1252"
            what = f"no encoding {quote(source['encoding'])}"
            raise ConfigError(f"{where}.encoding", what, hint) from None


def _explore(where: str, dataset: Mapping[str, Any]) -> None:
    explore, time = dataset["explore"], dataset["time"]
    if explore["predictor"] is None and time is None:
        raise ConfigError(where, "needs a predictor", "or give the data set a time")
    _distinct(where, explore, time, dataset["cluster"])
    if explore["visit"] is not None and explore["trend"] is None:
        raise ConfigError(where, "visit needs a trend, whose residuals it groups")
    if explore["trend"] is not None:
        if time is None:
            raise ConfigError(where, "a trend needs the data set's time")
        parsed = formula.parse(explore["trend"], f"{where}.trend")
        if parsed.groups:
            raise ConfigError(f"{where}.trend", "is a formula of fixed effects only")


def _distinct(where: str, explore: Mapping[str, Any], time: str | None, cluster: str) -> None:
    """Refuse a column that would be drawn, or have a line, against itself."""
    roles = {
        "the data set's cluster": cluster,
        "the data set's time": time,
        "the predictor": explore["predictor"],
        "the visit": explore["visit"],
        "what panels are by": explore["by"],
    }
    for role, column in roles.items():
        if explore["outcome"] == column:
            raise ConfigError(
                f"{where}.outcome",
                f"{quote(column)} is {role} too",
                "an outcome is explored against other columns",
            )
    for key in ("predictor", "visit", "by"):
        if explore[key] == cluster:
            raise ConfigError(
                f"{where}.{key}",
                f"{quote(cluster)} is the data set's cluster",
                "name a column that varies over rows, or leave it out",
            )
