import json
from pathlib import Path

from mixedflow import tables
from mixedflow.figures import models as draw
from mixedflow.figures.style import Labels, save
from mixedflow.job import job

with job(snakemake):
    fit, card = (
        json.loads(Path(p).read_text("utf-8")) for p in (snakemake.input.fit, snakemake.input.card)
    )
    frames = {name: tables.read(snakemake.input[name]) for name in draw.TABLES}
    for name, made in draw.all_of(frames, fit, Labels.of(card)).items():
        save(made, snakemake.output[f"{name}_svg"], alt=f"{fit['title']}: {draw.ALT[name]}")
