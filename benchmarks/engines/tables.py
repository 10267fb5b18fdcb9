"""Markdown of what fit.py measured."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Any

ENGINES = ("F'F", "mixedflow", "lme4", "glmm", "mixedlm", "mixedlm-rs", "lme-python", "statsmodels")
TITLES = {
    "frame": "From a data frame and a formula",
    "arrays": "From arrays",
    "bootstrap": "200 draws of the parametric bootstrap",
}
LAPS = {
    "frame": ("fit", "all", "more", "verdict"),
    "arrays": ("fit", "all", "more", "verdict"),
    "bootstrap": ("all",),
}
SCHOOLS = -14020.733  # the REML log-likelihood of the schools, without log|X'X|
WRONG = 0.01  # units of log-likelihood


def median(found: dict[str, Any], lap: str, of: str = "seconds") -> float | None:
    values = [fit[of][lap] for fit in found.get("fits", ()) if lap in fit[of]]
    return statistics.median(values) if values else None


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.0f}" if seconds >= 0.1 else f"{1e3 * seconds:.3g}"


def cell(found: dict[str, Any], own: dict[str, Any], lap: str) -> str:
    """The processor's milliseconds, the clock's in brackets, and the ratio to mixedflow's."""
    value, wall, mine = median(found, lap), median(found, lap, "wall"), median(own, lap)
    if value is None or wall is None:
        return "–"
    text = f"{milliseconds(value)} ({milliseconds(wall)})"
    return text + (f" ×{value / mine:.3g}" if mine and found is not own else "")


def memory(found: dict[str, Any]) -> str:
    if "peak_mib" not in found:
        return "–"
    text, loaded = f"{found['peak_mib']:.0f}", found.get("loaded_mib")
    return text if loaded is None else f"{text} ({found['peak_mib'] - loaded:+.0f})"


def compare_likelihoods(data: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The reference, and what each engine's log-likelihood is relative to it.

    The reference is the highest value that a second engine reports too. A difference that a
    constant of REML explains (log|X'X| or the 2 pi of the fixed effects) is named, not blamed.
    """
    values = {
        engine: found["fits"][-1]["log_likelihood"]
        for engine, found in data["engines"].items()
        if found.get("fits") and "log_likelihood" in found["fits"][-1]
    }
    if not values:
        return "–", {}
    largest = max(abs(value) for value in values.values())
    slack = max(WRONG, 1e-9 * largest)  # rounding grows with the number of rows
    reference, remark = max(values.values()), " (one engine alone)"
    for tolerance in (slack, 1e-5 * largest):
        seconded = [
            one
            for one in values.values()
            if sum(abs(one - other) <= tolerance for other in values.values()) > 1
        ]
        if seconded:
            reference, remark = max(seconded), ""
            break
    half = 0.5 * data["log_det"]
    pi = 0.5 * data["p"] * math.log(2 * math.pi)
    constants = {
        f"{'' if a == 0 else '+½log|XᵀX|' if a > 0 else '−½log|XᵀX|'}"
        f"{'' if b == 0 else '+½p·log 2π' if b > 0 else '−½p·log 2π'}": a * half + b * pi
        for a, b in itertools.product((0, 1, -1), repeat=2)
    }
    verdicts = {}
    for engine, value in values.items():
        converged = data["engines"][engine]["fits"][-1]["converged"]
        gap = value - reference
        offset = min(constants, key=lambda name: abs(gap - constants[name]))
        left = gap - constants[offset]
        if abs(gap) <= slack:
            verdicts[engine] = f"{gap:+.1e}"
        elif offset and abs(left) <= slack:
            verdicts[engine] = f"{left:+.1e} (counts {offset})"
        else:
            claim = "" if converged else ", says not converged"
            verdicts[engine] = f"**wrong by {gap:+.4f}**{claim}"
    if data["name"] == "schools" and abs(reference - SCHOOLS) > WRONG:
        remark += f" (known: {SCHOOLS})"
    return f"{reference:.4f}{remark}", verdicts


def block_table(block: str, sets: list[dict[str, Any]], rounds: int) -> list[str]:
    """A row for each data set and engine."""
    laps, bootstrap = LAPS[block], block == "bootstrap"
    last = "SE of x1" if bootstrap else "log-likelihood"
    header = ["data", "engine", *laps, last, "peak MiB"]
    lines = [f"**{TITLES[block]}**", "", "| " + " | ".join(header) + " |"]
    lines.append("|" + "|".join([":--", ":--"] + ["--:"] * (len(header) - 2)) + "|")
    for data in sets:
        reference, verdicts = ("", {}) if bootstrap else compare_likelihoods(data)
        own = data["engines"].get("mixedflow", {})
        for k, engine in enumerate(e for e in ENGINES if e in data["engines"]):
            found = data["engines"][engine]
            n = len(found.get("fits", ()))
            name = engine + (f" ({n} fit{'s' * (n > 1)})" if 0 < n < rounds else "")
            cells = [cell(found, own, lap) for lap in laps]
            if bootstrap:
                fits = found.get("fits")
                cells.append(f"{fits[-1]['error']:.4f}, {fits[-1]['drawn']}" if fits else "failed")
            else:
                told = verdicts.get(engine, "failed" if "failed" in found else "–")
                cells.append(f"{reference}; {told}" if engine == "mixedflow" else told)
            title = f"{data['name']} (X: {data['design_mib']:.1f} MiB)" if k == 0 else ""
            lines.append("| " + " | ".join([title, name, *cells, memory(found)]) + " |")
    lines.append("")
    for data in sets:
        for engine, found in data["engines"].items():
            if "failed" in found:
                lines += [f"{engine} on {data['name']}: {found['failed']}", ""]
    return lines


def table(runs: list[dict[str, Any]]) -> str:
    """Markdown of one run, or of several of the same machine."""
    first = runs[0]["machine"]
    sets = [data for run in runs for data in run["sets"]]
    versions = {
        engine: found["version"]
        for data in sets
        for engine, found in data["engines"].items()
        if "version" in found
    }
    dates = sorted({run["date"] for run in runs})
    lines = [
        f"{', '.join(dates)}; {first['cpu']}, {first['cores']} cores, "
        f"{first['memory_gib']} GiB, {first['system']}; Python {first['python']}; "
        + ", ".join(f"{engine} {versions[engine]}" for engine in ENGINES if engine in versions)
        + ". One thread each. Milliseconds of the processor (of the clock), median of "
        f"{runs[0]['rounds']} interleaved fits unless stated; × is the ratio to mixedflow's "
        "of the same column. Log-likelihoods are differences from the highest that two engines "
        "share.",
        "",
    ]
    for block in TITLES:
        own = [data for data in sets if data["block"] == block]
        if own:
            lines += block_table(block, own, runs[0]["rounds"])
            lines += growth(block, own) if block != "bootstrap" else []
    return "\n".join(lines).rstrip()


def growth(block: str, sets: list[dict[str, Any]]) -> list[str]:
    """Mixedflow's time against rows, for every size of clusters."""
    times: dict[int, dict[int, float]] = {}
    for data in sets:
        took = median(data["engines"].get("mixedflow", {}), "all")
        if data["name"] != "schools" and took:
            times.setdefault(data["cluster_size"], {})[data["rows"]] = took
    lines = []
    for size, by_rows in times.items():
        base = min((n for n in by_rows if n >= 10**5), default=max(by_rows))
        steps = [f"{n:.0e}: ×{by_rows[n] / by_rows[base]:.3g}" for n in sorted(by_rows) if n > base]
        if steps:
            shown = ", ".join(steps).replace("e+0", "e")
            source = "a frame" if block == "frame" else block
            text = f"mixedflow's *all* from {source}, clusters of {size}, relative to {base:.0e} "
            text += f"rows: {shown}."
            lines += [text.replace("e+0", "e"), ""]
    return lines
