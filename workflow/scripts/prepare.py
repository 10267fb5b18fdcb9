from mixedflow.jobs.warm import hand_over

hand_over()

from pathlib import Path

from mixedflow.config.specs import DatasetSpec
from mixedflow.data.download import DOWNLOADS
from mixedflow.data.preparation import prepare
from mixedflow.data.prepared import save
from mixedflow.data.sources import read_dataset
from mixedflow.jobs.job import job

with job(snakemake) as task:
    spec = DatasetSpec.from_json(task["dataset"])
    task.follow(snakemake.input.source, spec.source.paths)
    task.follow(snakemake.input.joined, [joined.file for joined in spec.join])
    raw = read_dataset(spec, Path(), Path(DOWNLOADS))
    task.read += [raw.fetched] if raw.fetched else []
    prepared = prepare(spec, raw)
    save(prepared, Path(snakemake.output.data_parquet), Path(snakemake.output.data_card_json))
