from pathlib import Path

from mixedflow import bootstrap, data
from mixedflow.job import job
from mixedflow.spec import ModelSpec

with job(snakemake) as task:
    given, wanted = snakemake.input, snakemake.wildcards
    models = [ModelSpec.from_json(task[role]) for role in ("null", "alternative") if role in task]
    frame = data.load(Path(given.data), Path(given.card)).frame
    draws = range(int(wanted.first), int(wanted.last) + 1)
    bootstrap.part(models, frame, draws).write(Path(snakemake.output.draws))
