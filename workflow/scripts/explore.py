from pathlib import Path

from mixedflow import data, explore, tables
from mixedflow.figures import explore as draw
from mixedflow.figures.style import Labels, save
from mixedflow.job import job
from mixedflow.spec import DatasetSpec

with job(snakemake) as task:
    spec, out = DatasetSpec.from_json(task["dataset"]), snakemake.output
    prepared = data.load(Path(snakemake.input.data), Path(snakemake.input.card))
    found, frame = explore.explore(prepared, spec), prepared.frame
    labels, asked = Labels.of(prepared.card), spec.explore
    for name, table in found.tables().items():
        title = f"{spec.title}: {name.replace('_', ' ')}"
        tables.write(table, out[name], out[f"{name}_html"], title=title)
    for name, made in draw.all_of(found, frame, spec, labels).items():
        save(made, out[f"{name}_svg"], alt=f"{spec.title}: {name.replace('_', ' ')}")
