from mixedflow.jobs.warm import hand_over

hand_over()

import json
from pathlib import Path

from mixedflow.analysis import gathering
from mixedflow.analysis.adding import added
from mixedflow.config.specs import DatasetSpec
from mixedflow.jobs.job import job
from mixedflow.language.asked import Asked
from mixedflow.model.reduced import save_products

with job(snakemake) as task:
    spec = DatasetSpec.from_json(task["dataset"])
    gathered = gathering.gather(spec, [Path(path) for path in snakemake.input.chunks])
    model = snakemake.wildcards.model
    asked = Asked.of(json.loads(task["formula"]), f"models.{model}")
    found = added(gathered, model, asked)
    save_products(found, Path(snakemake.output.products_npz))
