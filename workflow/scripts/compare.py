import json
from pathlib import Path

from mixedflow import inference, tables
from mixedflow.job import job
from mixedflow.spec import ComparisonSpec

with job(snakemake) as task:
    texts = json.loads(task["comparisons"])
    comparisons = {name: ComparisonSpec.from_json(text) for name, text in texts.items()}
    fits = {}
    for path in map(Path, snakemake.input):
        fits[path.parent.name] = json.loads(path.read_text("utf-8"))
    compared = inference.compare(comparisons, fits)
    tables.write(compared, snakemake.output.table, snakemake.output.page, title="Comparisons")
