"""Data sets that are read in chunks: their files, and what is refused because it needs all rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixedflow.config.specs import DatasetSpec, ModelSpec
from mixedflow.errors import ConfigError, quote
from mixedflow.language import expressions, formula

CHUNKED = (".parquet", ".dta", ".sav", ".sas7bdat")  # formats that can be read in parts
SUMMED = ("ar1", "car1", "exponential", "exchangeable")  # correlations that leave sums of rows


def source(where: str, values: Mapping[str, Any]) -> dict[str, Any]:
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


def check_dataset(where: str, values: Mapping[str, Any]) -> None:
    """What needs all rows at once is refused for a data set that is read in chunks."""
    for key, given in (
        ("sha256", values["source"]["sha256"]),
        ("first_per", values["first_per"]),
    ):
        if given:
            raise _all_rows(where, "leave it out, or do it where the files are made", key)
    for key in ("reshape", "join"):
        if values[key]:
            raise ConfigError(
                f"{where}.{key}", "is not for data that are read in chunks",
                "do it where the files are made",
            )  # fmt: skip
    if values["suppress"]:
        hint = "leave small clusters out with a filter where the files are made"
        raise _all_rows(f"{where}.suppress", hint)
    if values["explore"]:
        hint = "explore a data set of some clusters beside this one"
        raise _all_rows(f"{where}.explore", hint)
    texts = [(f"derive.{variable}", text) for variable, text in values["derive"]]
    if values["filter"] is not None:
        texts.append(("filter", values["filter"]))
    for key, text in texts:
        hint = "compute it where the files are made, or centre by a number"
        _check_rows_alone(f"{where}.{key}", text, hint)


def check_model(where: str, model: ModelSpec, dataset: DatasetSpec, found: formula.Parsed) -> None:
    """What needs all rows at once is refused for a data set that is read in chunks."""
    how = model.inference
    if model.residual is not None:
        _check_residual(f"{where}.residual", model)
    if model.weights is not None:
        raise _all_rows(f"{where}.weights", "leave them out, or read the data as a whole")
    if model.means is not None:
        raise _all_rows(f"{where}.means", "leave it out, or test contrasts")
    for key, asked in (("intervals", how.intervals == "bootstrap"), ("gee", how.gee)):
        if asked:
            hint = "use profile intervals" if key == "intervals" else "leave it out"
            raise _all_rows(f"{where}.inference.{key}", hint)
    for atom, text in found.atoms.items():
        hint = "compute it where the files are made"
        basis = expressions.basis_of(text)
        if basis is not None:
            own = "lower= and upper=" if basis.knots else "knots=, lower= and upper="
            hint = f"write {'raw=TRUE' if basis.kind == 'poly' else own}"
        _check_rows_alone(f"{where}.formula", text, hint)
        grouped = atom.startswith("cut(")
        called = atom != text and atom.startswith(("C(", "factor("))
        if grouped or (called and text not in dataset.levels):
            hint = f"list them under datasets.{dataset.name}.levels"
            raise ConfigError(
                f"{where}.formula", f"a chunk does not know all levels of {atom}",
                f"derive it, and {hint}" if grouped else hint,
            )  # fmt: skip


def _check_residual(where: str, model: ModelSpec) -> None:
    """A residual structure must leave sums that chunks can add up."""
    assert model.residual is not None
    correlation, kind = model.residual.correlation, ""
    if model.residual.variance is not None:
        kind = f"variance: {model.residual.variance.kind}"
    elif correlation is not None and (correlation.nugget or correlation.kind not in SUMMED):
        kind = "a nugget" if correlation.nugget else correlation.kind
    if kind:
        raise _all_rows(where, f"chunks can have {', '.join(SUMMED)} (without a nugget)", kind)
    if model.inference.df == "kenward-roger":
        raise _all_rows(f"{where[:-9]}.inference.df", "use satterthwaite", "kenward-roger")


def _check_rows_alone(where: str, text: str, hint: str) -> None:
    """An expression must need no row but its own."""
    used = expressions.summaries(text)
    if used:
        raise _all_rows(where, hint, f"{used[0]}()")


def _all_rows(where: str, hint: str, what: str = "") -> ConfigError:
    return ConfigError(where, f"{what} needs all rows at once, and chunks have not".lstrip(), hint)
