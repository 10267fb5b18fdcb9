from mixedflow.jobs.warm import hand_over

hand_over()

from pathlib import Path

from mixedflow.analysis.structures import structures
from mixedflow.artifacts import formatting, tables
from mixedflow.config.specs import StructuresSpec
from mixedflow.data.prepared import load
from mixedflow.figures import structures as draw
from mixedflow.figures.style import Labels, save
from mixedflow.jobs.job import job
from mixedflow.prose import captions

with job(snakemake) as task:
    spec, out = StructuresSpec.from_json(task["structures"]), snakemake.output
    prepared = load(Path(snakemake.input.data), Path(snakemake.input.card))
    found = structures(spec, prepared.frame)
    for name, table in found.tables().items():
        tables.write(table, out[f"{name}_csv"])
        title = f"{spec.title}: {captions.ALL[name].title.lower()}"
        formatting.write_page(table, out[f"{name}_html"], title)
    if spec.time is not None:
        made = draw.course(found.course, found.table, spec.time, Labels.of(prepared.card))
        alt = f"{spec.title}: {captions.ALL['structures_course'].alt}"
        save(made, out.structures_course_svg, alt=alt)
