"""docs/config.md, written from the schema.

python -m mixedflow.config.reference [--check] docs/config.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mixedflow.config.schema import resolve, schema
from mixedflow.errors import MixedflowError


def reference() -> str:
    """The schema as a Markdown page."""
    lines = [
        "# The configuration",
        "",
        "Generated from `workflow/schemas/config.schema.yaml` by `make docs`.",
        "",
        " ".join(schema()["description"].split()),
    ]
    lines += ["", "## Top level", "", *_rows(schema())]
    for name, node in schema()["$defs"].items():
        if node.get("properties"):
            lines += ["", f"## {name}", ""]
            if "description" in node:
                lines += [" ".join(node["description"].split()), ""]
            lines += _rows(node)
    return "\n".join(lines) + "\n"


def _rows(node: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | what | default | example |"
    yield "| --- | --- | --- | --- |"
    yield from _keys(node, "")


def _keys(node: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, part in node["properties"].items():
        whole = {**resolve(part), **part}
        text = " ".join(str(whole.get("description", "")).split())
        default = "required" if key in node.get("required", ()) else ""
        if "default" in whole and whole["default"] not in ("", None):
            default = f"`{json.dumps(whole['default'])}`"
        examples = ", ".join(f"`{json.dumps(e)}`" for e in whole.get("examples", ()))
        row = (f"`{prefix}{key}`", text, default, examples)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        # What is described under its own heading is not repeated here.
        if "properties" in part:
            yield from _keys(part, f"{prefix}{key}.")


def main(arguments: list[str]) -> int:
    """Write docs/config.md, or with --check say whether it is current."""
    path = Path(arguments[-1])
    if "--check" in arguments:
        if path.exists() and path.read_text(encoding="utf-8") == reference():
            return 0
        print(f"{path} is not current: run make docs", file=sys.stderr)
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reference(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except MixedflowError as error:
        sys.exit(str(error))
