"""A model's artifacts are the same bytes with the linear algebra of another processor.

All of the default configuration, on all processors: benchmarks/bytes.py.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
_ARTIFACTS = """
import sys
from pathlib import Path
from mixedflow.analysis.model import fit_model
from mixedflow.artifacts import stored
from mixedflow.config import reading
from mixedflow.data.preparation import prepare
from mixedflow.data.sources import read_dataset
from mixedflow.figures import diagnostics, models
from mixedflow.figures.style import Labels, save

folder, settings = Path(sys.argv[1]), reading.read("config.yaml")
model = settings.models["school_type"]
spec = settings.datasets[model.dataset]
prepared = prepare(spec, read_dataset(spec, Path(), folder))
found = fit_model(model, prepared, spec)
found.write(folder)
frames = {path.stem: stored.read(path) for path in folder.glob("*.csv")}
for draw in (models, diagnostics):
    shown = models.in_sample(frames, found.report)
    for name, made in draw.all_of(shown, found.report, Labels.of(prepared.card)).items():
        save(made, folder / f"{name}.svg", alt=name)
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="kernels are of x86")
def test_another_processor_leaves_the_same_bytes(tmp_path: Path) -> None:
    every = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])  # type: ignore[call-overload]
    other = {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": " ".join(every)}
    running = []
    for name, environment in {"own": {}, "other": other}.items():
        (tmp_path / name).mkdir()
        given = {"PYTHONPATH": str(ROOT / "src"), "OPENBLAS_NUM_THREADS": "1", **environment}
        command = [sys.executable, "-c", _ARTIFACTS, str(tmp_path / name)]
        running.append(subprocess.Popen(command, cwd=ROOT, env={**os.environ, **given}))
    assert [one.wait(300) for one in running] == [0, 0]
    own, others = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("own", "other")
    )
    assert {"fit.json", "posterior.npz", "influence.csv", "residual_qq.svg"} <= own.keys()
    assert own.keys() == others.keys()
    assert [name for name in own if own[name] != others[name]] == []
