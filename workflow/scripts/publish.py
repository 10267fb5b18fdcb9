from pathlib import Path

from mixedflow import publication
from mixedflow.job import job

with job(snakemake):
    given = snakemake.input
    publication.write(
        fits=[Path(path) for path in given.fits],
        rankings=[Path(path) for path in given.rankings],
        comparisons=Path(given.comparisons[0]) if given.comparisons else None,
        cards=[Path(path) for path in given.cards],
    )
