from mixedflow.jobs.warm import hand_over

hand_over()

from pathlib import Path

from mixedflow.analysis import bootstrap
from mixedflow.config.specs import ModelSpec
from mixedflow.data.prepared import load
from mixedflow.jobs.job import job

with job(snakemake) as task:
    given, wanted = snakemake.input, snakemake.wildcards
    models = [ModelSpec.from_json(task[role]) for role in ("null", "alternative") if role in task]
    frame = load(Path(given.data), Path(given.card)).frame
    draws = range(int(wanted.first), int(wanted.last) + 1)
    bootstrap.part(models, frame, draws).write(Path(snakemake.output.draws))
