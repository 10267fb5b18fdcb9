import json
from pathlib import Path

from mixedflow import inference, tables
from mixedflow.job import job
from mixedflow.spec import ComparisonSpec

with job(snakemake) as task:
    comparisons = {
        name: ComparisonSpec.from_json(text)
        for name, text in json.loads(task["comparisons"]).items()
    }
    fits = {
        Path(path).parent.name: json.loads(Path(path).read_text("utf-8"))
        for path in snakemake.input
    }
    output = snakemake.output
    tables.write(
        inference.compare(comparisons, fits),
        Path(output.table),
        Path(output.page),
        title="Comparisons",
    )
