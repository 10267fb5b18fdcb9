from pathlib import Path

from mixedflow import figures, ranking, tables
from mixedflow.job import job
from mixedflow.spec import RankSpec

with job(snakemake) as task:
    spec = RankSpec.from_json(task["rank"])
    output = snakemake.output
    ranks = ranking.rank_model(spec, Path(snakemake.input.posterior), Path(snakemake.input.fit))
    tables.write(ranks, Path(output.ranking), Path(output.ranking_html), title="Ranking")
    figures.save(figures.caterpillar(ranks), Path(output.caterpillar_svg))
