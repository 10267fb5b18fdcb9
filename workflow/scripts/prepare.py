from pathlib import Path

from mixedflow import cards, data, files
from mixedflow.job import job
from mixedflow.spec import DatasetSpec

with job(snakemake) as task:
    spec = DatasetSpec.from_json(task["dataset"])
    raw = data.read_source(
        spec.source, base=Path(), cache=Path("downloads"), where=f"datasets.{spec.name}.source"
    )
    prepared = data.prepare(spec, raw)
    data.save(prepared, Path(snakemake.output.data), Path(snakemake.output.card))
    files.write_text(snakemake.output.page, cards.data_card_html(prepared.card))
