from mixedflow.jobs.warm import hand_over

hand_over()

from pathlib import Path

from mixedflow.jobs.job import job
from mixedflow.report import paper

with job(snakemake):
    given = snakemake.input
    paper.write(
        fits=[Path(path) for path in given.fits],
        rankings=[Path(path) for path in given.rankings],
        comparisons=Path(given.comparisons[0]) if given.comparisons else None,
        structures=[Path(path) for path in given.structures],
        cards=[Path(path) for path in given.cards],
    )
