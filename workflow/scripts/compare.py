import json
from pathlib import Path

from mixedflow import inference, tables
from mixedflow.job import job
from mixedflow.spec import ComparisonSpec

with job(snakemake) as task:
    given, output = snakemake.input, snakemake.output
    asked = json.loads(task["comparisons"])
    comparisons = {name: ComparisonSpec.of(values) for name, values in asked.items()}
    paths = map(Path, given.fits)
    fits = {path.parent.name: json.loads(path.read_text("utf-8")) for path in paths}
    simulated = {}
    if given.drawn:
        from mixedflow import bootstrap

        simulated = bootstrap.tests(map(Path, given.drawn))
    compared = inference.compare(comparisons, fits, simulated)
    tables.write(compared, output.table, output.page, title="Comparisons")
