"""Whether processors of other generations leave the same bytes: the default analysis on each.

OpenBLAS and NumPy have kernels for each generation of processors, and each rounds in its own way.
``python benchmarks/bytes.py`` runs the last commit with those of this machine, then with each older
generation that it can run, compares every file of the results, and prints how many differ; of
text, how many of its numbers differ and the largest relative difference. Exit code 1 if any does.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from numpy import show_config
from reproduce import files, run

# Core types of OpenBLAS, and the flags of processors that can run their instructions.
CORES = {
    "SkylakeX": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    "Haswell": {"avx2", "fma"},
    "Sandybridge": {"avx"},
    "Nehalem": {"sse4_2"},
    "Prescott": {"pni"},
}
_NUMBER = re.compile(r"[-\N{MINUS SIGN}]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def kernels(cpuinfo: Path = Path("/proc/cpuinfo")) -> Iterator[tuple[str, dict[str, str]]]:
    """Names and environments of the generations that this processor can be."""
    flags = set(re.findall(r"\w+", cpuinfo.read_text("utf-8")))
    every = show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    newest = [name for name in every if name.startswith(("AVX512", "X86_V4"))]
    for core, needed in CORES.items():
        if needed <= flags:
            without = {"SkylakeX": [], "Haswell": newest}.get(core, every)
            features = {"NPY_DISABLE_CPU_FEATURES": " ".join(without)} if without else {}
            yield core, {"OPENBLAS_CORETYPE": core, **features}


def difference(one: Path, two: Path) -> str:
    """What differs between two files, empty if nothing."""
    first, second = one.read_bytes(), two.read_bytes()
    if first == second:
        return ""
    try:
        texts = [_NUMBER.findall(content.decode("utf-8")) for content in (first, second)]
    except UnicodeDecodeError:
        return "other bytes"
    if len(texts[0]) != len(texts[1]):
        return "another text"
    pairs = [
        [float(number.replace("\N{MINUS SIGN}", "-")) for number in pair]
        for pair in zip(*texts, strict=True)
        if pair[0] != pair[1]
    ]
    pairs = [(a, b) for a, b in pairs if a != b]  # -0 is 0
    most = max((abs(a - b) / max(abs(a), abs(b)) for a, b in pairs), default=0.0)
    return f"{len(pairs)} of {len(texts[0])} numbers, the largest difference {most:.0e}"


def main() -> int:
    first: Path | None = None
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, environment in [("this machine's", {}), *kernels()]:
            found = run(Path(scratch) / name / "run", 2, environment, umask=0o022)
            first = first or found
            differing = {path: "not in both" for path in files(first) ^ files(found)}
            for path in files(first) & files(found):
                if said := difference(first / path, found / path):
                    differing[path] = said
            for path in sorted(differing):
                print(f"  {path}: {differing[path]}")
            failed += len(differing)
            print(f"{name}: {len(files(found))} files, {len(differing)} differ", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
