"""Whether processors of other generations, and other Pythons, leave the same bytes.

OpenBLAS and NumPy have kernels for each generation of processors, and each rounds in its own way.
``python benchmarks/bytes.py`` runs the default analysis of the last commit with those of this
machine, then with each older generation that it can run, compares every file of the results, and
prints how many differ; of text, how many of its numbers differ and the largest relative difference.
``--pythons PYTHON ...`` runs these interpreters instead, which have the packages of
requirements.lock; what records, manifest and report say of versions does not count. Exit code 1 if
any differs.
"""

from __future__ import annotations

import argparse
import json
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


def content(path: Path, results: Path, python: bool) -> bytes:
    """Of a file; for another ``python`` without what it says of versions, and digests over that."""
    name = path.relative_to(results).parts
    if not python or not (name[-1] in ("manifest.json", "report.html") or name[0] == "records"):
        return path.read_bytes()
    if name[-1] == "report.html":
        (told,) = json.loads((results / "manifest.json").read_bytes())["environments"].values()
        return path.read_bytes().replace(told["python"].encode(), b"")
    told = json.loads(path.read_bytes())
    for part in (told, *told.get("jobs", {}).values()):
        for key in ("environment", "environments", "digest", "record_sha256"):
            part.pop(key, None)
    for made in (told.get("artifacts", {}), told.get("outputs", {})):
        made.pop("results/report.html", None)
    return json.dumps(told).encode()


def difference(path: Path, one: Path, two: Path, python: bool) -> str:
    """What differs between a file of two results, empty if nothing."""
    first, second = (content(folder / path, folder, python) for folder in (one, two))
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pythons", nargs="*", default=[])
    pythons = parser.parse_args().pythons
    cases: list[tuple[str, dict[str, str], str]] = [("this machine's", {}, sys.executable)]
    if pythons:
        cases += [(python, {}, python) for python in pythons]
    else:
        cases += [(name, environment, sys.executable) for name, environment in kernels()]
    first: Path | None = None
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for k, (name, environment, python) in enumerate(cases):
            place = Path(scratch) / str(k) / "run"
            found = run(place, 2, environment, umask=0o022, python=python)
            first = first or found
            differing = {path: "not in both" for path in files(first) ^ files(found)}
            for path in files(first) & files(found):
                if said := difference(path, first, found, python=bool(pythons)):
                    differing[path] = said
            for path in sorted(differing):
                print(f"  {path}: {differing[path]}")
            failed += len(differing)
            print(f"{name}: {len(files(found))} files, {len(differing)} differ", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
