from pathlib import Path

from mixedflow import data, mixed
from mixedflow.job import job
from mixedflow.spec import DatasetSpec, ModelSpec

with job(snakemake) as task:
    prepared = data.load(Path(snakemake.input.data), Path(snakemake.input.card))
    model, dataset = ModelSpec.from_json(task["model"]), DatasetSpec.from_json(task["dataset"])
    mixed.fit_model(model, prepared, dataset).write(Path(snakemake.output.fit).parent)
