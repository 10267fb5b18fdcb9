from mixedflow.jobs.warm import hand_over

hand_over()

import json
from pathlib import Path

from mixedflow.jobs.job import job
from mixedflow.report import workbook

with job(snakemake) as task:
    made, report = Path(snakemake.output.tables_xlsx), json.loads(task["report"])
    paths = [Path(path) for path in snakemake.input]
    workbook.write(paths, made.parent, report["title"], report["author"], made)
