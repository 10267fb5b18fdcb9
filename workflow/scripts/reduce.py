from mixedflow.jobs.warm import hand_over

hand_over()

import json
from pathlib import Path

from mixedflow.analysis import chunks
from mixedflow.artifacts.packing import write_arrays
from mixedflow.config.specs import DatasetSpec
from mixedflow.jobs.job import job
from mixedflow.language.asked import Asked

with job(snakemake) as task:
    spec, wildcards = DatasetSpec.from_json(task["dataset"]), snakemake.wildcards
    task.follow(snakemake.input.source, spec.source.paths)
    given = json.loads(task["formulas"]).items()
    models = {name: Asked.of(asked, f"models.{name}") for name, asked in given}
    found = chunks.reduce(spec, models, int(wildcards.file), int(wildcards.part))
    write_arrays(found, Path(snakemake.output.chunk))
