# The front door of mixedflow: config.yaml (or --configfile) -> results/report.html.

import gc

from mixedflow.cli import config_file
from snakemake.utils import min_version

min_version("9.14")

# Rules and jobs stay as long as Snakemake runs: to look through them for garbage again and again
# takes a fifth of a run that has nothing to do.
gc.freeze()
gc.set_threshold(100_000)


# A user's own file stands alone: Snakemake would merge it with this one.
if not config:

    configfile: config_file("config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/chunks.smk"
include: "workflow/rules/explore.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/rank.smk"
include: "workflow/rules/family.smk"
include: "workflow/rules/structures.smk"
include: "workflow/rules/report.smk"


onstart:
    if workflow.is_main_process and workflow.local_exec:
        warm.start(SCRIPTS)


rule all:
    default_target: True
    input:
        f"{RESULTS}/report.html",
        f"{RESULTS}/manifest.json",
    localrule: True
