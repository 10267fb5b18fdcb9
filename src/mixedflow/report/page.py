"""Artifacts below a results folder -> the report, and the pages behind it, which need nothing else.

The report answers; a page of the appendix, one a model and one a data set, has everything that the
answers rest on.
"""

from __future__ import annotations

import base64
import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

import mixedflow
from mixedflow.artifacts.storage import write_text
from mixedflow.errors import SourceError
from mixedflow.jobs import provenance
from mixedflow.prose import captions, checks, findings, methods
from mixedflow.report import run as runs
from mixedflow.report.card import fragment
from mixedflow.report.html import environment
from mixedflow.report.run import Run
from mixedflow.report.tables import table

RESOURCES = ("templates/report/*.j2",)
MAIN = "report.html"
APPENDIX = "appendix"
_COPIES = {"docx": "report.docx", "xlsx": "tables.xlsx"}  # made where the configuration asks
_COMPARED = (
    "comparison", "null", "alternative", "statistic", "df", "p_value", "distribution",
    "p_bootstrap", "warning",
)  # fmt: skip


def render(results_dir: Path, config: Mapping[str, Any], out: Path) -> None:
    """Write the report of the run in ``results_dir`` to ``out``, its appendix beside it.

    ``config`` is the run's configuration in its canonical JSON form.

    Raises
    ------
    SourceError
        An artifact is missing or unreadable.
    """
    try:
        made = pages(results_dir, config)
    except (OSError, ValueError, KeyError) as error:
        what = f"an artifact is missing or unreadable ({error})"
        raise SourceError(str(results_dir), what, "run the workflow again") from error
    for place, text in made.items():
        write_text(out if place == MAIN else out.parent / place, text)


def pages(results_dir: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Every page as text, by its place below the results; see :func:`render`."""
    run = runs.read(results_dir, config)
    script = environment().get_template("report/script.js.j2").render()
    report = config.get("report") or {}
    shared = {
        "run": run,
        "report_title": report.get("title") or "Multilevel analysis",
        "captions": captions.ALL,
        "version": mixedflow.__version__,
        "script": Markup(script),
        "script_hash": _hash(script),
        "compared_sentence": lambda row: findings.comparison_sentence(row, run.fits),
        "ranking_sentence": lambda model: findings.ranking_sentence(model.fit, model.ranks),
        "marked": findings.marked,
        "checks_rule": checks.RULE,
        "place": lambda link: _place(run, link),
    }

    def page(template: str, **given: Any) -> str:
        return environment().get_template(f"report/{template}.html.j2").render(**shared, **given)

    behind = {
        **{f"model-{model.name}": page("model", model=model) for model in run.models},
        **{f"data-{dataset.name}": page("data", dataset=dataset) for dataset in run.datasets},
        **({"comparisons": page("comparisons", **_compared(run))} if run.rows else {}),
        **({"structures": page("structures")} if run.structures else {}),
        **({"families": page("families")} if run.families else {}),
        "methods": page("methods", **_methods(run, config)),
        "glossary": page("glossary", kinds=captions.variants()),
    }
    main = page(
        "main",
        author=report.get("author") or "",
        cautions=_cautions(run),
        copies=[name for key, name in _COPIES.items() if report.get(key)],
        **_together(run),
    )
    found = {f"{APPENDIX}/{name}.html": _from_below(text) for name, text in behind.items()}
    return {MAIN: main, **found}


def _from_below(text: str) -> str:
    """A page whose links start from the results, as it stands in a folder below them.

    Only a tag has its angle bracket: strangers' words are escaped wherever they stand.
    """
    return text.replace('<a href="', '<a href="../').replace('<a href="../#', '<a href="#')


def _place(run: Run, link: str) -> str:
    """Where a headline's ``#model-m``, ``#ranking-m`` and the like stand."""
    kind, _, name = link.removeprefix("#").partition("-")
    leading = [dataset.ranking.name for dataset in run.datasets if dataset.ranking]
    if kind == "comparisons":
        return f"{APPENDIX}/comparisons.html"
    if kind == "model":
        return f"{APPENDIX}/model-{name}.html"
    if kind == "ranking" and name not in leading:
        return f"{APPENDIX}/model-{name}.html#ranking"
    return link


def _hash(script: str) -> str:
    """What a Content-Security-Policy allows a script by: of the text between its tags."""
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _cautions(run: Run) -> list[Markup]:
    cards = [dataset.card for dataset in run.datasets]
    return [
        *(caution for one in run.families for caution in one.cautions),
        *(caution for one in run.structures for caution in one.cautions),
        *findings.cautions(cards, list(run.fits.values()), run.rows),
    ]


def _together(run: Run) -> dict[str, Any]:
    """What models say together."""
    return {
        "headlines": {dataset.name: dataset.headlines(run.rows) for dataset in run.datasets},
        "rankings": [one for dataset in run.datasets if (one := dataset.shown_ranking)],
    }


def _compared(run: Run) -> dict[str, Any]:
    """The tests of models; the table has a column of warnings only where there is one."""
    assert run.compared is not None
    shown = run.compared[[name for name in _COMPARED if name in run.compared.columns]].copy()
    for column in ("null", "alternative"):
        shown[column] = [
            findings.named(run.fits[name]) if name in run.fits else name for name in shown[column]
        ]
    empty = shown.isna() | (shown == "")
    return {
        "comparison_sentences": [findings.comparison_sentence(row, run.fits) for row in run.rows],
        "comparisons_table": table(shown.loc[:, ~empty.all()]),
    }


def _methods(run: Run, config: Mapping[str, Any]) -> dict[str, Any]:
    """How it was done, and what another needs to do it again."""
    used = (
        list(run.fits.values()),
        [dataset.card for dataset in run.datasets],
        {model.name: model.ranks for model in run.models if model.ranks is not None},
        [family.spec for family in run.families],
        [one.spec for one in run.structures],
    )
    sources = [
        {
            "data set": dataset.name,
            "source": dataset.card["source"]["description"],
            "SHA-256": dataset.card["source"]["sha256"],
        }
        for dataset in run.datasets
    ]
    versions = {"python": platform.python_version(), **provenance.environment()["packages"]}
    return {
        "methods": methods.paragraphs(*used),
        "citations": methods.citations(*used),
        "overview": _overview(run),
        "sources": fragment(sources),
        "packages": fragment([{"package": n, "version": text} for n, text in versions.items()]),
        "config": json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False),
    }


def _overview(run: Run) -> Markup:
    structured = any(model.residual for model in run.models)
    return fragment(
        [
            {
                "model": findings.named(model.fit),
                "data set": model.fit.dataset,
                "formula": model.fit.formula,
                **({"residuals": model.structure} if structured else {}),
                "method": model.fit.method.upper(),
                "parameters": model.fit.n_parameters,
                "log-likelihood": model.fit.log_likelihood,
                "AIC": model.fit.aic,
            }
            for model in run.models
        ]
    )
