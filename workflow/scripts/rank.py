import json
from pathlib import Path

from mixedflow import league
from mixedflow.figures import ranking as draw
from mixedflow.figures.style import Labels, save
from mixedflow.job import job
from mixedflow.ranking import Posterior
from mixedflow.spec import RankSpec

with job(snakemake) as task:
    given, output = snakemake.input, snakemake.output
    fit, card = (json.loads(Path(path).read_text("utf-8")) for path in (given.fit, given.card))
    labels, spec = Labels.of(card), RankSpec.from_json(task["rank"])
    posterior = Posterior.load(Path(given.posterior))
    found = league.rank_model(spec, posterior, fit, labels.axis(fit["group"]))
    found.write(Path(output.verdict).parent, fit["title"])
    for name, made in draw.all_of(found.tables, found.verdict, labels, fit["group"]).items():
        save(made, output[f"{name}_svg"], alt=f"{fit['title']}: {draw.ALT[name]}{found.doubt}")
