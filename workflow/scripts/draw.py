from mixedflow.jobs.warm import hand_over

hand_over()

import json
from pathlib import Path

from mixedflow.analysis import checks
from mixedflow.artifacts import formatting, stored, tables
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.figures import diagnostics, models
from mixedflow.figures.style import Labels, save
from mixedflow.jobs.job import job
from mixedflow.prose import captions

with job(snakemake):
    given, output = snakemake.input, snakemake.output
    fit = ModelReport.read(Path(given.fit))
    card = json.loads(Path(given.card).read_text("utf-8"))
    labels = Labels.of(card)
    frames = {Path(path).stem: stored.read(path) for path in given.tables}
    checked = checks.table(frames, fit, card["time"])
    tables.write(checked, output["checks_csv"])
    for name, frame in [*frames.items(), ("checks", checked)]:
        shown = f"{fit.title}: {name.replace('_', ' ')}"
        formatting.write_page(frame, output[f"{name}_html"], shown)
    shown = models.in_sample(frames, fit)
    for draw in (models, diagnostics):
        for name, made in draw.all_of(shown, fit, labels).items():
            save(made, output[f"{name}_svg"], alt=f"{fit.title}: {captions.ALL[name].alt}")
