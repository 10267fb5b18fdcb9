"""The picture of docs/architecture.md, made from the code: layers, their modules, who imports whom.

    python docs/draw_architecture.py            writes docs/architecture.svg
    python docs/draw_architecture.py --check    says whether it is current

The order of the layers is that of the import contract in pyproject.toml. A number in the grid
counts the modules of its row that import from the layer of its column: all stand right of the
diagonal.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "mixedflow"
OUT = ROOT / "docs" / "architecture.svg"

NAME, CELL, TOP, WIDTH = 100, 30, 96, 760  # points; WIDTH of a layer's list of modules
LINE, PER_LINE = 15, 122  # of the list: height, characters
STYLE = """text{font:12px system-ui,sans-serif;fill:#1b1b1b}.name{font-weight:600}
.small{font-size:11px;fill:#4a4a4a}rect{fill:#f3f6f9;stroke:#b9c4cf}.cell{fill:#ffffff}
.used{fill:#d6e6f4}.own{fill:#e3e3e3}.count{text-anchor:middle}
@media(prefers-color-scheme:dark){text{fill:#e8e8e8}.small{fill:#b5b5b5}
rect{fill:#22272d;stroke:#4a5560}.cell{fill:#181b1f}.used{fill:#1d4566}.own{fill:#3a3a3a}}"""


def layers() -> list[str]:
    """From the top down; siblings one after the other."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (found,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return [name.strip() for row in found for name in row.replace(":", "|").split("|")]


def modules(layer: str) -> dict[str, Path]:
    """A layer's modules by their names within it."""
    single = PACKAGE / f"{layer}.py"
    if single.exists():
        return {"": single}
    folder = PACKAGE / layer
    found = sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py")
    names = {".".join(path.relative_to(folder).with_suffix("").parts): path for path in found}
    if len(list(ast.parse((folder / "__init__.py").read_text("utf-8")).body)) > 1:
        names["(itself)"] = folder / "__init__.py"
    return names


def imported(path: Path) -> set[str]:
    """The layers that a module imports from."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mixedflow":
            below = (node.module or "").split(".")[1:2]
            found |= set(below) or {alias.name for alias in node.names}
    return found


def wrapped(names: list[str]) -> list[str]:
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) + 2 > PER_LINE:
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else ''}{name}"
    return lines


def picture() -> str:
    order, parts, y = layers(), [], TOP
    grid = NAME + WIDTH + 20
    for column, layer in enumerate(order):
        x = grid + CELL * column + CELL / 2 + 4
        turned = f'transform="translate({x} {TOP - 8}) rotate(-55)"'
        parts.append(f'<text class="small" {turned}>{escape(layer)}</text>')
    for row, layer in enumerate(order):
        known = modules(layer)
        uses = [imported(path) for path in known.values()]
        names = [name for name in known if name]
        lines = wrapped(names) if names else []
        height = max(CELL, LINE * len(lines) + 14)
        middle = y + height / 2
        parts.append(f'<rect x="4" y="{y}" width="{grid - 12}" height="{height - 4}" rx="4"/>')
        parts.append(f'<text class="name" x="12" y="{middle + 2}">{escape(layer)}</text>')
        for k, line in enumerate(lines):
            start = middle - 2 - LINE * (len(lines) - 1) / 2 + LINE * k + 4
            parts.append(f'<text class="small" x="{NAME}" y="{start}">{escape(line)}</text>')
        for column, other in enumerate(order):
            x, number = grid + CELL * column, sum(other in found for found in uses)
            kind = "own" if row == column else "used" if number else "cell"
            parts.append(
                f'<rect class="{kind}" x="{x}" y="{y}" width="{CELL}" height="{height - 4}"/>'
            )
            if number and row != column:
                place = f'x="{x + CELL / 2}" y="{middle + 2}"'
                parts.append(f'<text class="count" {place}>{number}</text>')
        y += height
    size = f"{grid + CELL * len(order) + 8} {y + 8}"
    label = "The layers of mixedflow with their modules, and a grid of which imports from which"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img">'
        f"<title>{label}</title>\n<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def main(arguments: list[str]) -> int:
    made = picture()
    if "--check" not in arguments:
        OUT.write_text(made, encoding="utf-8")
        return 0
    if OUT.exists() and OUT.read_text(encoding="utf-8") == made:
        return 0
    print(f"{OUT.relative_to(ROOT)} is not current: run make docs", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
