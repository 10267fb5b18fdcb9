"""``mixedflow show``: a finished model's table in the terminal, from its artifacts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mixedflow.artifacts import stored
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.config import reading
from mixedflow.errors import ConfigError, ModelError, nearest, plain, quote
from mixedflow.prose import findings, residual_names, stata, weights

_FILES = (
    "fit.json", "fixed_effects.csv", "variance_components.csv", "term_tests.csv",
    "fixed_correlations.csv",
)  # fmt: skip


def show(model: str, config: Path, sd: bool = False) -> str:
    """The table and cautions of a model that a run of ``config`` has finished, from its artifacts.

    ``sd`` asks for standard deviations and correlations in place of variances and covariances.

    Raises
    ------
    ConfigError
        As ``reading.read``, and a model that the configuration does not have.
    ModelError
        A model without finished artifacts.
    """
    settings = reading.read(config)
    if model not in settings.models:
        what = f"unknown model {quote(model)}"
        raise ConfigError(f"{config}: models", what, nearest(model, settings.models, "models"))
    folder = reading.working_folder(config) / settings.results / "models" / model
    where, run = f"models.{model}", "run snakemake --cores all"
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(where, f"not finished: there is no {folder / missing[0]}", run)
    try:
        report = ModelReport.read(folder / "fit.json")
        fixed, components, tests, pairs = (stored.read(folder / name) for name in _FILES[1:])
        tables = stata.Tables(fixed, components, tests, pairs, report.outcome)
        shown = stata.text(replace(report, warnings=()), tables, sd)
        cautions = [text.striptags() for text in findings.of_model(report)]
        ends = findings.empty_ends(report, fixed, components)
        cautions += filter(None, [ends, weights.note(report)])
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(where, f"the files in {folder} are not a model's", run) from None
    said = (
        report.title, report.formula, residual_names.written(report), weights.written(report)
    )  # fmt: skip
    head = "\n".join(stata.plain(text) for text in said if text)
    told = "".join(f"  {plain(text)}\n" for text in cautions)
    careful = f"\nWhat to be careful about:\n{told}" if told else ""
    return f"{head}\n\n{shown}{careful}"
