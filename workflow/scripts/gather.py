from pathlib import Path

from mixedflow import cards, data, files, scatter
from mixedflow.job import job
from mixedflow.spec import DatasetSpec

with job(snakemake) as task:
    spec, output = DatasetSpec.from_json(task["dataset"]), snakemake.output
    prepared = scatter.gather(spec, [Path(path) for path in snakemake.input.chunks]).prepared
    data.save(prepared, Path(output.data), Path(output.card))
    files.write_text(output.page, cards.data_card_html(prepared.card))
