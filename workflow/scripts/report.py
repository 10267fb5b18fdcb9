import json
from pathlib import Path

from mixedflow import report
from mixedflow.job import job

with job(snakemake) as task:
    page = Path(snakemake.output[0])
    report.render(page.parent, json.loads(task["config"]), page)
