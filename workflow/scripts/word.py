from mixedflow.jobs.warm import hand_over

hand_over()

import json
from pathlib import Path

from mixedflow.jobs.job import job
from mixedflow.report import word

with job(snakemake) as task:
    made = Path(snakemake.output.report_docx)
    word.render(made.parent, json.loads(task["config"]), made)
