import json
from pathlib import Path

from mixedflow.artifacts import formatting, tables
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.config.specs import ComparisonSpec
from mixedflow.inference import comparison, simulated
from mixedflow.jobs.job import job

with job(snakemake) as task:
    given, output = snakemake.input, snakemake.output
    asked = json.loads(task["comparisons"])
    comparisons = {name: ComparisonSpec.of(values) for name, values in asked.items()}
    fits = {path.parent.name: ModelReport.read(path) for path in map(Path, given.fits)}
    compared = comparison.compare(comparisons, fits, simulated.tests(map(Path, given.drawn)))
    tables.write(compared, output.comparisons_csv)
    formatting.write_page(compared, output.comparisons_html, "Comparisons")
