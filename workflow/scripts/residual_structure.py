from mixedflow.jobs.warm import hand_over

hand_over()

from pathlib import Path

from mixedflow.analysis.residual_structure import tables as looked_at
from mixedflow.artifacts import formatting, tables
from mixedflow.config.specs import DatasetSpec, ModelSpec
from mixedflow.data.prepared import load
from mixedflow.figures import diagnostics, over_time
from mixedflow.figures.style import Labels, save
from mixedflow.jobs.job import job
from mixedflow.model.reduced import load_products
from mixedflow.prose import captions

with job(snakemake) as task:
    given, out = snakemake.input, snakemake.output
    prepared = load(Path(given.data), Path(given.card))
    model, dataset = ModelSpec.from_json(task["model"]), DatasetSpec.from_json(task["dataset"])
    products = load_products(Path(given.products)) if given.get("products") else None
    found = looked_at(model, prepared, dataset, products)
    for name, table in found.items():
        tables.write(table, out[f"{name}_csv"])
        shown = f"{model.title}: {name.replace('_', ' ')}"
        formatting.write_page(table, out[f"{name}_html"], shown)
    labels, time = Labels.of(prepared.card), model.residual.time(dataset.time)
    made = {
        "residual_structure": over_time.of_a_model(found["residual_structure"], time, labels),
        "normalised_acf": diagnostics.normalised_acf(found["normalised_acf"]),
    }
    for name, drawn in made.items():
        save(drawn, out[f"{name}_svg"], alt=f"{model.title}: {captions.ALL[name].alt}")
