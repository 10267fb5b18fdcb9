from mixedflow.jobs.warm import hand_over

hand_over()

import json
from pathlib import Path

from mixedflow.analysis import rank_moves
from mixedflow.artifacts.fit_report import ModelReport
from mixedflow.config.specs import OrderSpec
from mixedflow.figures.rank_lines import bump
from mixedflow.figures.rank_style import colours_of
from mixedflow.figures.style import Labels, save
from mixedflow.jobs.job import job
from mixedflow.language.grouping import finest
from mixedflow.prose import captions

with job(snakemake) as task:
    given, output = snakemake.input, snakemake.output
    card = json.loads(Path(given.card).read_text("utf-8"))
    specs = {name: OrderSpec.of(s) for name, s in json.loads(task["ranks"]).items()}
    fits = {path.parent.name: ModelReport.read(path) for path in map(Path, given.fits)}
    paths = {path.parent.name: path for path in map(Path, given.posteriors)}
    posteriors = rank_moves.read(paths, specs)
    noun = Labels.of(card).axis(finest(next(iter(posteriors.values())).group))
    found = rank_moves.of_models(posteriors, fits, specs, noun)
    found.write(Path(output.rank_moves_json).parent, card["title"])
    made = bump(found.ranks, noun, colours_of(found.highlight))
    alt = f"{card['title']}: {captions.ALL['rank_moves'].alt}"
    save(made, output.rank_moves_svg, alt=alt)
