from mixedflow.jobs.warm import hand_over

hand_over()

from pathlib import Path

from mixedflow.analysis.means import of_model
from mixedflow.artifacts import formatting, tables
from mixedflow.config.specs import ModelSpec
from mixedflow.data.prepared import load
from mixedflow.figures import means as draw
from mixedflow.figures.style import Labels, save
from mixedflow.jobs.job import job
from mixedflow.prose import captions

with job(snakemake) as task:
    out, model = snakemake.output, ModelSpec.from_json(task["model"])
    prepared = load(Path(snakemake.input.data), Path(snakemake.input.card))
    found = of_model(model, prepared.frame)
    for name, table in found.items():
        tables.write(table, out[f"{name}_csv"])
        title = f"{model.title}: {captions.ALL[name].title.lower()}"
        formatting.write_page(table, out[f"{name}_html"], title)
    made = draw.marginal_means(found["marginal_means"], Labels.of(prepared.card))
    alt = captions.ALL["marginal_means"].alt
    save(made, out.marginal_means_svg, alt=f"{model.title}: {alt}")
