import json
from pathlib import Path

from mixedflow import files, provenance
from mixedflow.job import job

with job(snakemake):
    out = Path(snakemake.output[0])
    found = provenance.manifest(map(Path, snakemake.input), out.parent / "records")
    files.write_text(out, json.dumps(found, indent=1, sort_keys=True) + "\n")
