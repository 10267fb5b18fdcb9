import json
from pathlib import Path

from mixedflow import figures, ranking, tables
from mixedflow.job import job
from mixedflow.spec import RankSpec

with job(snakemake) as task:
    given, output = snakemake.input, snakemake.output
    fit = json.loads(Path(given.fit).read_text("utf-8"))
    ranks = ranking.rank_model(RankSpec.from_json(task["rank"]), Path(given.posterior), fit)
    tables.write(ranks, output.ranking, output.ranking_html, title=f"{fit['title']}: ranking")
    figures.save(figures.caterpillar(ranks), Path(output.caterpillar_svg))
