import json
from pathlib import Path

from mixedflow import inference, tables
from mixedflow.job import job
from mixedflow.spec import ComparisonSpec, ModelSpec

with job(snakemake) as task:
    given, output = snakemake.input, snakemake.output
    texts = json.loads(task["comparisons"])
    comparisons = {name: ComparisonSpec.from_json(text) for name, text in texts.items()}
    paths = map(Path, given.fits)
    fits = {path.parent.name: json.loads(path.read_text("utf-8")) for path in paths}
    simulated = {}
    models = {n: ModelSpec.from_json(text) for n, text in json.loads(task["models"]).items()}
    if models:
        from mixedflow import bootstrap, data

        # Models and data come in the same order.
        stored = zip(models, given.data, given.cards, strict=True)
        frames = {name: data.load(Path(d), Path(card)).frame for name, d, card in stored}
        folder = Path(output.table).parent / ".bootstrap"
        simulated = bootstrap.tests(comparisons, models, frames, snakemake.threads, folder)
    compared = inference.compare(comparisons, fits, simulated)
    tables.write(compared, output.table, output.page, title="Comparisons")
