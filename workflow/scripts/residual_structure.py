from mixedflow.jobs.warm import hand_over

hand_over(__file__, snakemake)

from pathlib import Path

from mixedflow.analysis.residual_structure import over_time
from mixedflow.artifacts import formatting, tables
from mixedflow.config.specs import DatasetSpec, ModelSpec
from mixedflow.data.prepared import load
from mixedflow.figures import over_time as draw
from mixedflow.figures.style import Labels, save
from mixedflow.jobs.job import job
from mixedflow.prose import captions

with job(snakemake) as task:
    out = snakemake.output
    prepared = load(Path(snakemake.input.data), Path(snakemake.input.card))
    model, dataset = ModelSpec.from_json(task["model"]), DatasetSpec.from_json(task["dataset"])
    table = over_time(model, prepared.frame, dataset)
    shown = f"{model.title}: residual structure"
    tables.write(table, out.residual_structure_csv)
    formatting.write_page(table, out.residual_structure_html, shown)
    made = draw.of_a_model(table, model.residual.time(dataset.time), Labels.of(prepared.card))
    alt = captions.ALL["residual_structure"].alt
    save(made, out.residual_structure_svg, alt=f"{model.title}: {alt}")
