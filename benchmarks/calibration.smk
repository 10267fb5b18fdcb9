# The calibration study as jobs, on this machine or on a cluster:
#
#     snakemake --snakefile benchmarks/calibration.smk --cores all
#     snakemake --snakefile benchmarks/calibration.smk --profile profiles/slurm
#
# with --config replicates=1000 profile=500 seed=1 part=50 for the options of calibration.py and the
# replicates a job takes. A run that was interrupted goes on; the tables are those of the script.

import sys
from pathlib import Path

REPLICATES, PART = int(config.get("replicates", 1000)), int(config.get("part", 50))
PROFILES, SEED = int(config.get("profile", 500)), int(config.get("seed", 1))
STUDY = f"{sys.executable} {Path(workflow.basedir) / 'calibration.py'}"
FOLDER = f"calibration/seed{SEED}-profile{PROFILES}"


rule tables:
    default_target: True
    input:
        [
            f"{FOLDER}/{first}-{min(first + PART, REPLICATES) - 1}.json"
            for first in range(0, REPLICATES, PART)
        ],
    output:
        f"{FOLDER}/{REPLICATES}.md",
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        study=STUDY,
    shell:
        "{params.study} --table --read {input} > {output}"


rule replicates:
    output:
        f"{FOLDER}/{{first}}-{{last}}.json",
    wildcard_constraints:
        first=r"\d+",
        last=r"\d+",
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        study=f"{STUDY} --processes 1 --seed {SEED} --profile {PROFILES}",
    shell:
        "{params.study} --first {wildcards.first} --last {wildcards.last} --write {output}"
