from mixedflow.jobs.warm import hand_over

hand_over()

import json
from pathlib import Path

from mixedflow.artifacts.storage import write_text
from mixedflow.jobs.job import job
from mixedflow.report.card import data_card_html

with job(snakemake):
    card = json.loads(Path(snakemake.input.card).read_text("utf-8"))
    write_text(snakemake.output.data_card_html, data_card_html(card))
