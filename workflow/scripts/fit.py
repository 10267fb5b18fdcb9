from mixedflow.jobs.warm import hand_over

hand_over()

from pathlib import Path

from mixedflow.analysis.model import fit_model
from mixedflow.config.specs import DatasetSpec, ModelSpec
from mixedflow.data.prepared import load
from mixedflow.jobs.job import job
from mixedflow.model.reduced import load_products

with job(snakemake) as task:
    given = snakemake.input
    prepared = load(Path(given.data), Path(given.card))
    model, dataset = ModelSpec.from_json(task["model"]), DatasetSpec.from_json(task["dataset"])
    products = load_products(Path(given.products)) if given.get("products") else None
    drawn = map(Path, given.get("drawn", []))
    result = fit_model(model, prepared, dataset, drawn, products)
    result.write(Path(snakemake.output.fit_json).parent)
