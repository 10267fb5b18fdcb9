from pathlib import Path

from mixedflow import cards, data, files
from mixedflow.download import DOWNLOADS
from mixedflow.job import job
from mixedflow.spec import DatasetSpec

with job(snakemake) as task:
    spec = DatasetSpec.from_json(task["dataset"])
    where = f"datasets.{spec.name}.source"
    raw = data.read_source(spec.source, Path(), Path(DOWNLOADS), where)
    task.read += [raw.fetched] if raw.fetched else []
    prepared = data.prepare(spec, raw)
    data.save(prepared, Path(snakemake.output.data), Path(snakemake.output.card))
    files.write_text(snakemake.output.page, cards.data_card_html(prepared.card))
