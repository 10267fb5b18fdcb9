from pathlib import Path

from mixedflow import data, mixed, tables
from mixedflow.figures import diagnostics, models
from mixedflow.figures.style import Labels, save
from mixedflow.job import job
from mixedflow.scatter import load_products
from mixedflow.spec import DatasetSpec, ModelSpec

with job(snakemake) as task:
    given, output = snakemake.input, snakemake.output
    prepared = data.load(Path(given.data), Path(given.card))
    model, dataset = ModelSpec.from_json(task["model"]), DatasetSpec.from_json(task["dataset"])
    products = load_products(Path(given.products)) if given.get("products") else None
    drawn = map(Path, given.get("drawn", []))
    result = mixed.fit_model(model, prepared, dataset, drawn, products)
    result.write(Path(output.fit).parent)
    for draw in (models, diagnostics):
        frames = {name: tables.read(output[name]) for name in draw.TABLES if output.get(name)}
        frames = result.drawn(frames)
        for name, made in draw.all_of(frames, result.report, Labels.of(prepared.card)).items():
            save(made, output[f"{name}_svg"], alt=f"{model.title}: {draw.ALT[name]}")
