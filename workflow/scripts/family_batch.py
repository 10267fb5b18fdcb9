from mixedflow.jobs.warm import hand_over

hand_over()

import json
from pathlib import Path

from mixedflow.analysis import family
from mixedflow.config.families import Batch
from mixedflow.config.specs import DatasetSpec
from mixedflow.jobs.job import job

with job(snakemake) as task:
    given = snakemake.input
    batch = Batch.from_json(task["batch"])
    specs = json.loads(task["datasets"])
    paths = zip(map(Path, given.data), map(Path, given.cards), strict=True)
    stored = {data.parent.name: (data, card) for data, card in paths}
    datasets = {name: DatasetSpec.of(values) for name, values in specs.items()}
    own = {member.file for member in batch.members if member.file}
    joined = {one.file for spec in datasets.values() for one in spec.join}
    task.follow(given.files, own | joined)
    family.fit_batch(batch, stored, datasets, [Path(path) for path in snakemake.output.folders])
