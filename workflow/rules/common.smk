# Read the configuration once; what all rules share.

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from mixedflow.artifacts import registry
from mixedflow.config import reading
from mixedflow.config.grouping import factors
from mixedflow.data.packed import unpacked_size
from mixedflow.errors import ConfigError, MixedflowError
from mixedflow.inference.draws import parts
from mixedflow.jobs import warm
from mixedflow.jobs.digest import code_digest
from mixedflow.jobs.inputs import source_digest
from mixedflow.jobs.provenance import Planned, leave_plan, no_future, own_folder
from mixedflow.language.asked import Asked

SCRIPTS = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent / "scripts"


def made(path):
    """Whether a file has a rule, of a workflow, say, that loads this one as a module."""
    return any(rule.is_producer(path) for rule in workflow.rules)


def stays(path):
    """Refuse a module's ``prefix`` and the like: Snakemake would track other files than jobs read."""
    if (moved := workflow.modifier.modify_path(path)) != path:
        what = f"{path!r} would become {str(moved)!r} by a prefix or a storage of Snakemake's"
        hint = "leave that out: `results` and the files of the configuration say where things are"
        raise ConfigError("module", what, hint)


try:
    for path in workflow.configfiles:
        reading.parse(path)  # of two equal keys Snakemake silently keeps the last
    SETTINGS = reading.load(config, origin=(workflow.configfiles or ["config"])[-1])
    SOURCES = {f"datasets.{name}.source": d.source for name, d in SETTINGS.datasets.items()}
    for name, d in SETTINGS.datasets.items():
        for one in d.join:
            joined = replace(d.source, file=one.file, files=(), rdataset=None, sha256=one.sha256)
            SOURCES[f"datasets.{name}.join.{one.file}"] = joined
    for name, one in SETTINGS.families.items():
        source = SETTINGS.datasets[one.datasets[0]].source
        for key, path in one.files:
            SOURCES[f"families.{name}.for.file.{key}"] = replace(source, file=path, rdataset=None)
    for where, source in SOURCES.items():
        # Said here, because Snakemake's own words about a missing input name no way out.
        for path in source.paths:
            stays(path)
            if not made(path) and not os.path.isfile(path):
                from mixedflow.data.download import DOWNLOADS
                from mixedflow.data.sources import read_source

                only = replace(source, file=path, url=None)
                read_source(only, Path(), Path(DOWNLOADS), where)
    for artifact in registry.ARTIFACTS:
        for file in artifact.files:
            stays(f"{SETTINGS.results}/{file.path}")
    for folder in (SETTINGS.results, f"logs/{SETTINGS.results}"):
        own_folder(Path(folder))
except MixedflowError as error:
    sys.exit(str(error))

DATASETS, MODELS = SETTINGS.datasets, SETTINGS.models
RESULTS = SETTINGS.results
DATASET, MODEL = (f"{RESULTS}/{stage.folder}" for stage in (registry.DATA, registry.MODEL))
LOGS = f"logs/{RESULTS}"
# Each job tells what it has read and made; the manifest gathers these records.
RECORDS = f"{RESULTS}/records"
no_future(Path(RESULTS))

# One core a job: its matrices are small, and jobs run side by side.
for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"


def one_of(names):
    """A pattern that matches these names and nothing else (nothing at all without names)."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


def task(script, source=None, **specs):
    """All that a job's result depends on besides its files, as the one tracked parameter.

    Of the rule's script, by name, it has a digest of all the code that runs. Snakemake tracks
    neither the configuration nor imported packages, compares parameters as a set, and dictionaries
    with their key order: hence one canonical text.
    """
    known = {"code": code_digest(SCRIPTS / f"{script}.py")} | (
        {} if source is None else {"source": source}
    )
    texts = {name: json.dumps(plain(part), sort_keys=True) for name, part in specs.items()}
    # Snakemake's own report puts parameters into a script of its page: no text may end that.
    return json.dumps(known | texts, sort_keys=True).replace("<", "\\u003c")


def plain(part):
    """A part of the configuration as JSON's own types."""
    if isinstance(part, str | bool):
        return part
    if isinstance(part, tuple):
        return [plain(value) for value in part]
    if isinstance(part, dict):
        return {name: plain(value) for name, value in part.items()}
    return json.loads(part.to_json())


def sources(paths):
    """Data files as inputs. Of a user's own the content decides, as :func:`content` tells."""
    return [path if made(path) else ancient(path) for path in paths]


def content(paths, rdataset=None):
    """The content of data files, but for those that rules make, which Snakemake watches."""
    return source_digest([path for path in paths if not made(path)], rdataset)


def files_of(dataset, file=None):
    """The data files of a data set, or one of them by its number."""
    of = DATASETS[dataset].source
    return of.paths if file is None else of.paths[file - 1 : file]


def joined_to(dataset):
    """The files whose columns are joined to a data set."""
    return tuple(one.file for one in DATASETS[dataset].join)


def dataset_of(model):
    return DATASET.format(dataset=MODELS[model].dataset)


def chunks_of(dataset):
    """The files of a data set's chunks."""
    of = DATASETS[dataset]
    return [
        path_of("reduce").format(dataset=dataset, file=file, part=part)
        for file in range(1, len(of.source.files) + 1)
        for part in range(1, of.chunks + 1)
    ]


def rows_of(dataset, file=None):
    """What decides about the rows of a data set, or of one of its files."""
    of = DATASETS[dataset]
    source = replace(of.source, files=files_of(dataset, file))
    return replace(of, source=source, title="", labels={}, expect={})


def drawn(rule, draws, **of):
    """The files of a bootstrap, each of them the work of a job of ``rule``."""
    return [path_of(rule).format(first=p[0], last=p[-1], **of) for p in parts(draws)]


def refitted(model, seed):
    """What draws of a model depend on, so that words and tables may change without new ones."""
    plain = {"df": "normal", "intervals": "bootstrap", "gee": False, "contrasts": {}, "draws": 0}
    of = MODELS[model]
    return replace(
        of, title="", rank=None, means=None, inference=replace(of.inference, seed=seed, **plain)
    )


def of_a_fit(model):
    """Of a model and its data set, what its fit, tables and figures depend on."""
    how, dataset = model.inference, DATASETS[model.dataset]
    if how.intervals != "bootstrap":
        how = replace(how, draws=0, seed=0)
    explore = dataset.explore
    if explore:
        explore = replace(explore, outcome="", visit=None, trend=None, min_cluster_size=0)
    return {
        "model": replace(model, rank=None, means=None, inference=how),
        "dataset": replace(dataset, explore=explore),
    }


def of_means(model):
    """Of a model, what its marginal means depend on."""
    plain = {"intervals": "profile", "gee": False, "contrasts": {}, "draws": 0, "seed": 0}
    if model.inference.intervals != "profile":
        plain["intervals"] = "wald"
    return {"model": replace(model, rank=None, inference=replace(model.inference, **plain))}


def of_agreement(model):
    """Of a model, what the table of agreement depends on."""
    plain = {"df": "normal", "intervals": "wald", "contrasts": {}, "draws": 0, "seed": 0}
    how = replace(model.inference, **plain)
    return {"model": replace(model, rank=None, means=None, inference=how)}


def of_a_course(model):
    """Of a model and its data set, what decides about its residuals over time."""
    dataset = DATASETS[model.dataset]
    explore = dataset.explore
    if explore:
        explore = replace(explore, outcome="", trend=None, min_cluster_size=0)
    plain = replace(refitted(model.name, seed=0), title=model.title)
    return {"model": plain, "dataset": replace(dataset, explore=explore)}


def growing(least, per_mb=0):
    """A resource that grows with the input, and with every attempt after one that failed.

    Compressed files count as what is in them.
    """
    if not per_mb:  # known before there are inputs
        return lambda wildcards, attempt: attempt * least
    return lambda wildcards, input, attempt: int(
        attempt * (least + per_mb * sum(unpacked_size(path) for path in input) / 2**20)
    )


def outputs(rule, *has, labels=None):
    """What a rule makes, each file by its name (``fit_json``), and the record of its job.

    The registry, src/mixedflow/artifacts/registry.py, knows which. ``has`` is what the data set or
    model has of that which others lack; ``labels`` are those of Snakemake's own report.
    """
    files = registry.made_by(rule, *has)
    unit = files[0].artifact.stage.unit
    record = f"{RECORDS}/{rule}/{{{unit}}}.json" if unit else f"{RECORDS}/{rule}.json"
    return {"record": record} | {file.key: shown(file, labels) for file in files}


def shown(file, labels=None, **of):
    """The path of an output, annotated if Snakemake's own report shows it; ``of`` fills it in."""
    path, artifact = f"{RESULTS}/{file.path}", file.artifact
    path = path.format(**of) if of else path
    if not file.reported:
        return path
    unit = artifact.stage.unit
    kind = {
        "shows": artifact.name.replace("_", " "),
        "as": "figure" if artifact.format == registry.FIGURE else "table",
    }

    def usual(wildcards):
        """By what users find it: data set, then model, family or structures."""
        name = wildcards[unit]
        among = {"model": MODELS, "structures": SETTINGS.structures}.get(unit)
        if among is not None:
            return {"data set": among[name].dataset, unit: name} | kind
        return {"data set" if unit == "dataset" else unit: name} | kind

    return report(
        path,
        caption=f"../report/{artifact.name}.rst",
        category=artifact.stage.category,
        subcategory=f"{{{unit}}}" if unit else None,
        labels=labels or usual,
    )


def path_of(rule):
    """The one file that a rule makes."""
    (file,) = registry.made_by(rule)
    return f"{RESULTS}/{file.path}"


def csv_of(rule, *has):
    """The tables that a rule makes."""
    files = registry.made_by(rule, *has)
    return [f"{RESULTS}/{file.path}" for file in files if file.suffix == "csv"]


def published(stage, suffix):
    """The tables of a stage that are printed: as "csv", or as "tex"."""
    files = [file for artifact in registry.published(stage) for file in artifact.files]
    return [f"{RESULTS}/{file.path}" for file in files if file.suffix == suffix]


def asked(model):
    """What chunks keep sums of for a model, as JSON has it: its formula as a rule."""
    return Asked(model.formula, model.residual).written


def planned(maker, wildcards):
    """A job as its record has to tell it: what it is about, rests on, reads and makes."""
    of = SimpleNamespace(**wildcards)
    read = [item(of) if callable(item) else expand(item, **wildcards) for item in maker.input]
    (record,) = expand(maker.output.record, **wildcards)
    return Planned(
        record,
        maker.params.task(of),
        {name: str(value) for name, value in wildcards.items()},
        inputs=[str(path) for one in read for path in ([one] if isinstance(one, str) else one)],
        outputs=[str(path) for path in expand(maker.output, **wildcards) if path != record],
    )


wildcard_constraints:
    dataset=one_of(DATASETS),
    model=one_of(MODELS),
