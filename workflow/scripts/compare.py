from mixedflow.jobs.warm import hand_over

hand_over()

import json
from pathlib import Path

from mixedflow.analysis.comparison import compared
from mixedflow.artifacts import formatting, tables
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.config.specs import ComparisonSpec
from mixedflow.data.prepared import load
from mixedflow.inference import simulated
from mixedflow.jobs.job import job

with job(snakemake) as task:
    given, output = snakemake.input, snakemake.output
    asked = json.loads(task["comparisons"])
    comparisons = {name: ComparisonSpec.of(values) for name, values in asked.items()}
    fits = {path.parent.name: ModelReport.read(path) for path in map(Path, given.fits)}
    pairs = zip(map(Path, given.data), map(Path, given.cards), strict=True)
    frames = {data.parent.name: load(data, card).frame for data, card in pairs}
    found = compared(comparisons, fits, simulated.tests(map(Path, given.drawn)), frames)
    tables.write(found, output.comparisons_csv)
    formatting.write_page(found, output.comparisons_html, "Comparisons")
