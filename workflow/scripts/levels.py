from mixedflow.jobs.warm import hand_over

hand_over()

import json
from pathlib import Path

from mixedflow.analysis import levels
from mixedflow.artifacts import formatting, tables
from mixedflow.data.disclosure import Rule
from mixedflow.data.prepared import load
from mixedflow.figures.levels import nesting
from mixedflow.figures.style import Labels, save
from mixedflow.jobs.job import job
from mixedflow.prose import captions

with job(snakemake) as task:
    out, prepared = snakemake.output, load(Path(snakemake.input.data), Path(snakemake.input.card))
    title = prepared.card["title"]
    found = levels.Levels.of(prepared.frame, map(tuple, json.loads(task["factors"])))
    shown = found.published(Rule.of_card(prepared.card), prepared.frame)
    for name, table in levels.tables(found, shown).items():
        tables.write(table, out[f"{name}_csv"])
        formatting.write_page(table, out[f"{name}_html"], f"{title}: {name}")
    made = nesting(shown, Labels.of(prepared.card))
    save(made, out.nesting_svg, alt=f"{title}: {captions.ALL['nesting'].alt}")
