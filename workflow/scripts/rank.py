from mixedflow.jobs.warm import hand_over

hand_over()

import json
from pathlib import Path

from mixedflow.analysis.ranking import rank_model
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.config.specs import RankSpec
from mixedflow.figures import ranking as draw
from mixedflow.figures.style import Labels, save
from mixedflow.jobs.job import job
from mixedflow.language.grouping import finest
from mixedflow.prose import captions
from mixedflow.ranking.posterior import Posterior

with job(snakemake) as task:
    given, output = snakemake.input, snakemake.output
    fit = ModelReport.read(Path(given.fit))
    labels = Labels.of(json.loads(Path(given.card).read_text("utf-8")))
    spec = RankSpec.from_json(task["rank"])
    posterior = Posterior.load(Path(given.posterior), spec.group, spec.added)
    cluster = finest(posterior.group)
    found = rank_model(spec, posterior, fit, labels.axis(cluster))
    found.write(Path(output.ranking_json).parent, fit.title)
    for name, made in draw.all_of(found.tables, found.verdict, labels, cluster).items():
        save(made, output[f"{name}_svg"], alt=f"{fit.title}: {captions.ALL[name].alt}{found.doubt}")
