from mixedflow.jobs.warm import hand_over

hand_over()

from pathlib import Path

from mixedflow.analysis.exploration import explore
from mixedflow.artifacts import formatting, tables
from mixedflow.config.specs import DatasetSpec
from mixedflow.data.disclosure import Rule, published
from mixedflow.data.prepared import load
from mixedflow.figures import exploration as draw
from mixedflow.figures.style import Labels, save
from mixedflow.jobs.job import job
from mixedflow.prose import captions

with job(snakemake) as task:
    spec, out = DatasetSpec.from_json(task["dataset"]), snakemake.output
    prepared = load(Path(snakemake.input.data), Path(snakemake.input.card))
    found, labels = explore(prepared, spec), Labels.of(prepared.card)
    for name, table in found.tables().items():
        tables.write(table, out[f"{name}_csv"])
        formatting.write_page(table, out[f"{name}_html"], f"{spec.title}: {name.replace('_', ' ')}")
    rows = published(prepared.frame, Rule.of(spec))
    for name, made in draw.all_of(found, rows, spec, labels).items():
        save(made, out[f"{name}_svg"], alt=f"{spec.title}: {captions.ALL[name].alt}")
