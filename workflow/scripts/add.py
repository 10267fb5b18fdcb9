from mixedflow.jobs.warm import hand_over

hand_over()

import json
from pathlib import Path

from mixedflow.analysis import gathering
from mixedflow.analysis.adding import added
from mixedflow.config.specs import DatasetSpec
from mixedflow.jobs.job import job
from mixedflow.model.reduced import save_products

with job(snakemake) as task:
    spec = DatasetSpec.from_json(task["dataset"])
    gathered = gathering.gather(spec, [Path(path) for path in snakemake.input.chunks])
    found = added(gathered, snakemake.wildcards.model, json.loads(task["formula"]))
    save_products(found, Path(snakemake.output.products_npz))
