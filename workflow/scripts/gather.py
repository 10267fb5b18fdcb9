from mixedflow.jobs.warm import hand_over

hand_over()

from pathlib import Path

from mixedflow.analysis import gathering
from mixedflow.config.specs import DatasetSpec
from mixedflow.data.prepared import save
from mixedflow.jobs.job import job

with job(snakemake) as task:
    spec, output = DatasetSpec.from_json(task["dataset"]), snakemake.output
    task.follow(snakemake.input.sources, spec.source.paths)
    prepared = gathering.gather(spec, [Path(path) for path in snakemake.input.chunks]).prepared
    save(prepared, Path(output.data_parquet), Path(output.data_card_json))
