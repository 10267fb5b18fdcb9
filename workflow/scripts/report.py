from mixedflow.jobs.warm import hand_over

hand_over()

import json
from pathlib import Path

from mixedflow.jobs.job import job
from mixedflow.report import page

with job(snakemake) as task:
    made = Path(snakemake.output.report_html)
    page.render(made.parent, json.loads(task["config"]), made)
