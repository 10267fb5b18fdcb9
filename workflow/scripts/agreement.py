from mixedflow.jobs.warm import hand_over

hand_over()

from pathlib import Path

from mixedflow.analysis.agreement import of_model
from mixedflow.artifacts import formatting, tables
from mixedflow.config.specs import ModelSpec
from mixedflow.data.prepared import load
from mixedflow.jobs.job import job
from mixedflow.prose import captions

with job(snakemake) as task:
    out, model = snakemake.output, ModelSpec.from_json(task["model"])
    table = of_model(model, load(Path(snakemake.input.data), Path(snakemake.input.card)).frame)
    tables.write(table, out.agreement_csv)
    title = f"{model.title}: {captions.ALL['agreement'].title}"
    formatting.write_page(table, out.agreement_html, title)
