# What the data show before any model: sizes, own lines, trajectories, residual correlation.
# What can be shown depends on the data set: four rules that differ in their outputs alone.

EXPLORED = {name: d.explore for name, d in DATASETS.items() if d.explore}
TIMED = {name for name in EXPLORED if DATASETS[name].time}
TRENDED = {name for name in TIMED if EXPLORED[name].trend}
VISITED = {name for name in TRENDED if EXPLORED[name].visit}

# Data sets with a model of several grouping factors, and these.
FACTORS = {
    name: factors(model.formula for model in MODELS.values() if model.dataset == name)
    for name, dataset in DATASETS.items()
    if not dataset.chunks
}
FACTORS = {name: found for name, found in FACTORS.items() if found}


rule explore:
    input:
        data=f"{DATASET}/data.parquet",
        card=f"{DATASET}/data_card.json",
    output:
        **outputs("explore"),
    log:
        f"{LOGS}/explore/{{dataset}}.log",
    wildcard_constraints:
        dataset=one_of(EXPLORED.keys() - TIMED),
    threads: 1
    resources:
        mem_mb=growing(500, per_mb=30),
        runtime=growing(10, per_mb=0.1),
    params:
        task=lambda w: task("explore", dataset=DATASETS[w.dataset]),
    script:
        "../scripts/explore.py"


if TIMED - TRENDED:

    use rule explore as explore_time with:
        output:
            **outputs("explore", registry.TIME),
        wildcard_constraints:
            dataset=one_of(TIMED - TRENDED),


if TRENDED - VISITED:

    use rule explore as explore_trend with:
        output:
            **outputs("explore", registry.TIME, registry.TREND),
        wildcard_constraints:
            dataset=one_of(TRENDED - VISITED),


if VISITED:

    use rule explore as explore_visits with:
        output:
            **outputs("explore", registry.TIME, registry.TREND, registry.VISITS),
        wildcard_constraints:
            dataset=one_of(VISITED),


if FACTORS:

    # How several grouping factors lie to each other.
    rule levels:
        input:
            data=f"{DATASET}/data.parquet",
            card=f"{DATASET}/data_card.json",
        output:
            **outputs("levels", registry.FACTORS),
        log:
            f"{LOGS}/levels/{{dataset}}.log",
        wildcard_constraints:
            dataset=one_of(FACTORS),
        threads: 1
        resources:
            mem_mb=growing(500, per_mb=30),
            runtime=growing(10, per_mb=0.1),
        params:
            task=lambda w: task("levels", factors=FACTORS[w.dataset]),
        script:
            "../scripts/levels.py"
