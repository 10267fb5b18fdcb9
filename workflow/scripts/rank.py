import json
from pathlib import Path

from mixedflow import ranking, tables
from mixedflow.figures.ranking import caterpillar
from mixedflow.figures.style import Labels, save
from mixedflow.job import job
from mixedflow.spec import RankSpec

with job(snakemake) as task:
    given, output = snakemake.input, snakemake.output
    fit, card = (json.loads(Path(path).read_text("utf-8")) for path in (given.fit, given.card))
    ranks = ranking.rank_model(RankSpec.from_json(task["rank"]), Path(given.posterior), fit)
    tables.write(ranks, output.ranking, output.ranking_html, title=f"{fit['title']}: ranking")
    made = caterpillar(ranks, Labels.of(card), fit["group"])
    save(made, output.caterpillar_svg, alt=f"{fit['title']}: ranking of {len(ranks)} clusters")
