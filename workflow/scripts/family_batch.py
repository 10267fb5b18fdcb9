import json
from pathlib import Path

from mixedflow import family
from mixedflow.job import job
from mixedflow.spec import DatasetSpec

with job(snakemake) as task:
    given = snakemake.input
    batch = family.Batch.from_json(task["batch"])
    specs = json.loads(task["datasets"])
    paths = zip(map(Path, given.data), map(Path, given.cards), strict=True)
    stored = {data.parent.name: (data, card) for data, card in paths}
    datasets = {name: DatasetSpec.of(values) for name, values in specs.items()}
    family.fit_batch(batch, stored, datasets, [Path(path) for path in snakemake.output.folders])
