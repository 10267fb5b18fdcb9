import json
from pathlib import Path

from mixedflow import scatter
from mixedflow.job import job
from mixedflow.spec import DatasetSpec

with job(snakemake) as task:
    spec, wildcards = DatasetSpec.from_json(task["dataset"]), snakemake.wildcards
    formulas = json.loads(task["formulas"])
    found = scatter.reduce(spec, formulas, int(wildcards.file), int(wildcards.part))
    scatter.write(found, Path(snakemake.output.chunk))
