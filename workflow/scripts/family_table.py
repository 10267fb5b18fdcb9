from mixedflow.jobs.warm import hand_over

hand_over()

from pathlib import Path

from mixedflow.analysis import family_table
from mixedflow.artifacts import formatting, tables
from mixedflow.config.specs import FamilySpec
from mixedflow.figures import family as draw
from mixedflow.figures.style import save
from mixedflow.jobs.job import job
from mixedflow.prose import captions

with job(snakemake) as task:
    spec, out = FamilySpec.from_json(task["family"]), snakemake.output
    folders = {Path(path).name: Path(path) for path in snakemake.input}
    table = family_table.table(spec, folders)
    tables.write(table, out.family_csv)
    formatting.write_page(table, out.family_html, spec.title)
    made = draw.forest(family_table.drawn(table, spec), spec.adjust)
    save(made, out.family_svg, alt=f"{spec.title}: {captions.ALL['family'].alt}")
