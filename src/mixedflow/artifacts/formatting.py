"""Numbers and tables as a person reads them: in prose, HTML and LaTeX."""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedflow.artifacts.storage import write_text
from mixedflow.artifacts.tables import is_numeric

if TYPE_CHECKING:
    import pandas as pd


MOST_ROWS = 200  # of a table in HTML
MOST_LATEX = 2000
_P_COLUMNS = ("p_value", "p_bootstrap", "p_adjusted")
_PROBABILITY_COLUMNS = (
    "p_top", "p_bottom", "p_first_better", "p_swap", "p_top_uncertain",
)  # fmt: skip
_SHARE_COLUMNS = ("reliability", "correlation", "icc", "vpc", "vpc_low", "vpc_high")
_COUNT_COLUMNS = (
    "n",
    "df",
    "rank",
    "rank_low",
    "rank_high",
    "row",
    "lag",
    "pairs",
    "n_obs",
    "n_groups",
)
_HEADINGS = {
    "std_error": "SE",
    "p_value": "p",
    "p_bootstrap": "p (bootstrap)",
    "p_adjusted": "p (adjusted)",
    "df_num": "df (numerator)",
    "cooks_distance": "Cook's distance",
    "conf_low": "95% low",
    "conf_high": "95% high",
    "se_conditional": "conditional SE",
    "se_comparative": "comparative SE",
    "se_diagnostic": "diagnostic SE",
    "ols": "own OLS",
    "ols_se": "own OLS SE",
    "p_top": "P(top)",
    "p_bottom": "P(bottom)",
    "p_first_better": "P(first better)",
    "p_swap": "P(swap)",
    "aic": "AIC",
    "bic": "BIC",
    "aicc": "AICc",
    "delta_aic": "above lowest",
    "n_parameters": "parameters",
    "effect_df": "df of the effect",
    "against": "tested against",
    "aic_null": "AIC null",
    "aic_alternative": "AIC alternative",
}
MINUS = "\N{MINUS SIGN}"


def number(value: Any, digits: int = 4) -> str:
    """A number as a person reads it: about ``digits`` significant digits, no exponents nearby."""
    if value is None:
        return ""
    x = float(value)
    if math.isnan(x):
        return ""
    if math.isinf(x):
        return f"{MINUS if x < 0 else ''}\N{INFINITY}"
    if x == 0:
        return "0"
    size = float(f"{abs(x):.{digits - 1}e}")  # as rounded: 0.09995 is shown as 0.100
    if size >= 10**7 or size < 10**-5:
        mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    decimals = min(decimals, 6)
    if size >= 100:
        decimals = min(max(decimals, 1), 2)
    return f"{x:,.{decimals}f}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", MINUS)


def p_value(value: Any) -> str:
    """0.057, or < 0.001; never 0."""
    if value is None or math.isnan(float(value)):
        return ""
    return "< 0.001" if float(value) < 0.001 else f"{float(value):.3f}"


def count(value: Any) -> str:
    if value is None or math.isnan(float(value)):
        return ""
    x = float(value)
    if not x.is_integer():
        return f"{x:.1f}"
    return f"{int(x):,}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", MINUS)


def share(value: Any) -> str:
    return (
        ""
        if value is None or math.isnan(float(value))
        else f"{float(value):.3f}".replace("-", MINUS)
    )


def probability(value: Any) -> str:
    """Two decimals, which the draws behind it hold; never quite 0 or 1."""
    if value is None or math.isnan(float(value)):
        return ""
    return "> 0.99" if value > 0.99 else "< 0.01" if value < 0.01 else f"{float(value):.2f}"


def _shown(name: str, value: Any, numeric: bool) -> str:
    """A cell as a person reads it, not yet escaped."""
    if not numeric:
        return "" if value is None or value != value else str(value)
    if name in _P_COLUMNS:
        return p_value(value)
    if name in _PROBABILITY_COLUMNS:
        return probability(value)
    if name in _SHARE_COLUMNS:
        return share(value)
    if (
        name in _COUNT_COLUMNS
        or name.startswith(("rank_set", "rank_low", "rank_high", "rank_own"))
        or isinstance(value, int)
    ):
        return count(value)
    return number(value)


def heading(name: str) -> str:
    return _HEADINGS.get(name, name.replace("_", " "))


def cells(frame: pd.DataFrame, most: int = MOST_ROWS) -> list[list[str]]:
    """The first ``most`` rows as a person reads them, not yet escaped; the headings first."""
    numeric = {name: is_numeric(frame[name]) for name in frame.columns}
    return [
        [heading(name) for name in frame.columns],
        *(
            [_shown(n, v, numeric[n]) for n, v in zip(frame.columns, row, strict=True)]
            for row in frame.head(most).itertuples(index=False, name=None)
        ),
    ]


def html_table(
    frame: pd.DataFrame,
    labels: Mapping[str, str] | None = None,
    most: int = MOST_ROWS,
    total: int | None = None,
) -> str:
    """An HTML table of the first ``most`` rows; everything from the data is escaped.

    ``total`` is the number of rows of which ``frame`` has the first, its own by default.
    """
    numeric = {name: is_numeric(frame[name]) for name in frame.columns}
    head = "".join(
        f'<th scope="col"{_align(numeric[n])}>{html.escape((labels or {}).get(n, heading(n)))}</th>'
        for n in frame.columns
    )
    body = []
    for row in frame.head(most).itertuples(index=False, name=None):
        cells = "".join(
            f"<td{_align(numeric[n])}>{html.escape(_shown(n, v, numeric[n]))}</td>"
            for n, v in zip(frame.columns, row, strict=True)
        )
        body.append(f"<tr>{cells}</tr>")
    more = (len(frame) if total is None else total) - most
    note = f"<p>{count(more)} more rows are in the CSV.</p>" if more > 0 else ""
    rows = "\n".join(body)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>{note}\n"


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    # After the end of a row, these would be an option of the row.
    "[": "{[}", "]": "{]}", "*": "{*}", "`": r"\textasciigrave{}",
    MINUS: "$-$", "\N{NARROW NO-BREAK SPACE}": r"\,", "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{INFINITY}": r"$\infty$", "\N{SUPERSCRIPT TWO}": r"$^2$",
}  # fmt: skip
_BREAKS = re.compile(r"[ \t-\r\x1c-\x1f\x85\u2028\u2029]+")
_LATEX_HEAD = "% booktabs and longtable; letters beyond Latin ones need LuaLaTeX or XeLaTeX.\n"


def latex_text(text: object) -> str:
    """Text as LaTeX that prints it: on one line, no character a command, no controls."""
    line = _BREAKS.sub(" ", str(text)).strip()
    # Category C but for joiners of emoji: what is not to be seen must not steer a typesetter.
    seen = (c for c in line if c == "\N{ZERO WIDTH JOINER}" or unicodedata.category(c)[0] != "C")
    shown = "".join(_LATEX.get(c, c) for c in seen)
    return re.sub("-(?=-)", "-{}", shown)  # two would become a dash


def latex(frame: pd.DataFrame, caption: str, label: str) -> str:
    """A LaTeX table of the first MOST_LATEX rows, with rules of booktabs; all text is escaped.

    It is a longtable, because a ranking may go over several pages. ``label`` is what ``\\ref``
    finds: letters, digits and underscores.
    """
    numeric = {name: is_numeric(frame[name]) for name in frame.columns}
    rows = [
        [latex_text(_shown(n, v, numeric[n])) for n, v in zip(frame.columns, row, strict=True)]
        for row in frame.head(MOST_LATEX).itertuples(index=False, name=None)
    ]
    lines = [latex_row(row) for row in rows]
    if (more := len(frame) - MOST_LATEX) > 0:
        told = latex_text(f"{count(more)} more rows are in the CSV.")
        lines.append(f"\\multicolumn{{{len(frame.columns)}}}{{l}}{{{told}}} \\\\\n")
    head = [latex_text(heading(name)) for name in frame.columns]
    columns = "".join("r" if numeric[name] else "l" for name in frame.columns)
    return latex_rows(columns, head, lines, caption, label)


def latex_rows(
    columns: str, head: Sequence[str], rows: Sequence[str], caption: str, label: str
) -> str:
    """A longtable from its parts: ``head`` and ``rows`` (:func:`latex_row`) are LaTeX already."""
    top = f"\\toprule\n{latex_row(head)}\\midrule\n"
    return (
        f"{_LATEX_HEAD}\\begin{{longtable}}{{@{{}}{columns}@{{}}}}\n"
        f"\\caption{{{latex_text(caption)}}}\\label{{{label}}}\\\\\n"
        f"{top}\\endfirsthead\n{top}\\endhead\n\\bottomrule\n\\endlastfoot\n"
        f"{''.join(rows)}\\end{{longtable}}\n"
    )


def latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + " \\\\\n"


def _align(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


_STYLE = """body{font:16px/1.5 system-ui,sans-serif;margin:2rem;color:#1b1b1b;background:#fff}
table{border-collapse:collapse;border-top:2px solid;border-bottom:2px solid}
th,td{padding:.2rem .7rem;text-align:left}thead{border-bottom:1px solid}
.number{text-align:right;font-variant-numeric:tabular-nums}
@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#16181b}}"""


def html_page(frame: pd.DataFrame, title: str) -> str:
    """A table as a page of its own."""
    return body_page(html_table(frame), title)


def write_page(frame: pd.DataFrame, page: Path | str, title: str) -> None:
    """Write the HTML twin of a table: a page of its first rows."""
    write_text(page, html_page(frame, title))


def body_page(body: str, title: str) -> str:
    """A page of its own around ``body``, which is HTML already."""
    shown = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{shown}</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{shown}</h1>\n{body}</body></html>\n"
    )
