import json
from pathlib import Path

from mixedflow import scatter
from mixedflow.job import job
from mixedflow.spec import DatasetSpec

with job(snakemake) as task:
    spec = DatasetSpec.from_json(task["dataset"])
    gathered = scatter.gather(spec, [Path(path) for path in snakemake.input.chunks])
    found = gathered.products(snakemake.wildcards.model, json.loads(task["formula"]))
    scatter.save_products(found, Path(snakemake.output.products))
