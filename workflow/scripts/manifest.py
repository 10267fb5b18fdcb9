import json
from pathlib import Path

from mixedflow import provenance
from mixedflow.job import job

with job(snakemake):
    found = provenance.manifest([Path(path) for path in snakemake.input])
    text = json.dumps(found, indent=1, sort_keys=True)
    Path(snakemake.output[0]).write_text(f"{text}\n", encoding="utf-8")
