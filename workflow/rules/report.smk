# What models say together: comparisons, the report, the manifest of all artifacts.


report: "../report/workflow.rst"


COMPARED = sorted({name for c in COMPARISONS.values() for name in (c.null, c.alternative)})
COMPARED_DATA = sorted({MODELS[name].dataset for name in COMPARED})


rule compare:
    input:
        fits=[f"{RESULTS}/models/{name}/fit.json" for name in COMPARED],
        data=expand(f"{DATASET}/data.parquet", dataset=COMPARED_DATA),
        cards=expand(f"{DATASET}/data_card.json", dataset=COMPARED_DATA),
        drawn=[
            path
            for name in SIMULATED
            for path in drawn("bootstrap_test", COMPARISONS[name].bootstrap, comparison=name)
        ],
    output:
        **outputs("compare", labels={"shows": "likelihood-ratio tests", "as": "table"}),
    log:
        f"{LOGS}/compare.log",
    threads: 1
    resources:
        mem_mb=growing(1000, per_mb=30),
        runtime=growing(10, per_mb=0.5),
    params:
        task=lambda w: task("compare", comparisons=COMPARISONS),
    script:
        "../scripts/compare.py"


# What a paper prints, made from the tables: a change of layout fits nothing anew.
(SIDE_BY_SIDE,) = [file for file in registry.made_by("publish") if file.reported]


rule publish:
    input:
        fits=expand(f"{MODEL}/fit.json", model=sorted(MODELS)),
        tables=expand(published(registry.MODEL, "csv"), model=sorted(MODELS)),
        rankings=expand(published(registry.RANKING, "csv"), model=RANKED),
        comparisons=published(registry.COMPARISON, "csv") if COMPARED else [],
        structures=expand(published(registry.STRUCTURES, "csv"), structures=sorted(STRUCTURES)),
        cards=expand(f"{DATASET}/data_card.json", dataset=sorted(DATASETS)),
    output:
        expand(published(registry.MODEL, "tex"), model=sorted(MODELS)),
        expand(published(registry.RANKING, "tex"), model=RANKED),
        expand(published(registry.STRUCTURES, "tex"), structures=sorted(STRUCTURES)),
        published(registry.COMPARISON, "tex") if COMPARED else [],
        expand(published(registry.SIDE_BY_SIDE, "tex"), dataset=sorted(DATASETS)),
        [
            shown(
                SIDE_BY_SIDE,
                labels={"data set": name, "shows": "models side by side", "as": "table"},
                dataset=name,
            )
            for name in sorted(DATASETS)
        ],
        record=f"{RECORDS}/publish.json",
    log:
        f"{LOGS}/publish.log",
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        task=lambda w: task("publish"),
    script:
        "../scripts/publish.py"


# What is made: which rule, for which data sets, models or parts.
WORK = [
    *((rules.prepare, {"dataset": name}) for name in sorted(DATASETS.keys() - CHUNKED)),
    *((rules.gather, {"dataset": name}) for name in sorted(CHUNKED)),
    *((rules.card, {"dataset": name}) for name in sorted(DATASETS)),
    *((rules.add, {"model": name}) for name in sorted(IN_CHUNKS)),
    *((rules.explore, {"dataset": name}) for name in sorted(EXPLORED.keys() - TIMED)),
    *((rules.explore_time, {"dataset": name}) for name in sorted(TIMED - TRENDED)),
    *((rules.explore_trend, {"dataset": name}) for name in sorted(TRENDED - VISITED)),
    *((rules.explore_visits, {"dataset": name}) for name in sorted(VISITED)),
    *((rules.levels, {"dataset": name}) for name in sorted(FACTORS)),
    *((rules.fit, {"model": name}) for name in sorted(PLAIN)),
    *((rules.fit_chunked, {"model": name}) for name in sorted(IN_CHUNKS - MARGINAL)),
    *((rules.fit_marginal_chunked, {"model": name}) for name in sorted(IN_CHUNKS & MARGINAL)),
    *((rules.fit_bootstrapped, {"model": name}) for name in sorted(BOOTSTRAPPED - MARGINAL)),
    *((rules.fit_marginal, {"model": name}) for name in sorted(MARGINAL_ROWS)),
    *(
        (rules.fit_marginal_bootstrapped, {"model": name})
        for name in sorted(MARGINAL & BOOTSTRAPPED)
    ),
    *((rules.draw, {"model": name}) for name in sorted(PLAIN)),
    *((rules.draw_chunked, {"model": name}) for name in sorted(IN_CHUNKS - MARGINAL)),
    *((rules.draw_marginal_chunked, {"model": name}) for name in sorted(IN_CHUNKS & MARGINAL)),
    *((rules.draw_bootstrapped, {"model": name}) for name in sorted(BOOTSTRAPPED - MARGINAL)),
    *((rules.draw_marginal, {"model": name}) for name in sorted(MARGINAL_ROWS)),
    *(
        (rules.draw_marginal_bootstrapped, {"model": name})
        for name in sorted(MARGINAL & BOOTSTRAPPED)
    ),
    *((rules.means, {"model": name}) for name in sorted(MEANS)),
    *((rules.agreement, {"model": name}) for name in sorted(AGREED)),
    *((rules.residual_structure, {"model": name}) for name in sorted(COURSED - IN_CHUNKS)),
    *((rules.residual_structure_chunked, {"model": name}) for name in sorted(COURSED & IN_CHUNKS)),
    *((rules.rank, {"model": name}) for name in sorted(set(RANKED) - SLOPED)),
    *((rules.rank_over, {"model": name}) for name in sorted(SLOPED)),
    *((rules.moves, {"dataset": name}) for name in sorted(MOVED)),
    *((getattr(rules, name), {}) for name in BATCHES),
    *((rules.family, {"family": name}) for name in sorted(FAMILIES)),
    *((rules.structures, {"structures": name}) for name in sorted(STRUCTURES.keys() - COURSES)),
    *((rules.structures_time, {"structures": name}) for name in sorted(COURSES)),
    *([(rules.compare, {})] if COMPARED else []),
    (rules.publish, {}),
]
ARTIFACTS = [path for rule, wildcards in WORK for path in expand(rule.output, **wildcards)]
# Draws of a bootstrap, which only the jobs that gather them read.
DRAWN = [
    *(
        (rules.bootstrap, {"model": name, "first": part[0], "last": part[-1]})
        for name in sorted(BOOTSTRAPPED)
        for part in parts(MODELS[name].inference.draws)
    ),
    *(
        (rules.bootstrap_test, {"comparison": name, "first": part[0], "last": part[-1]})
        for name in SIMULATED
        for part in parts(COMPARISONS[name].bootstrap)
    ),
]


# The page itself, and those behind it.
HAS = [
    *([registry.STRUCTURED] if STRUCTURES else []),
    *([registry.FAMILIAR] if FAMILIES else []),
    *([registry.COMPARED] if COMPARED else []),
]
PAGE, *APPENDIX = registry.made_by("report", *HAS)
APPENDED = {
    path
    for file in APPENDIX
    for path in expand(f"{RESULTS}/{file.path}", model=sorted(MODELS), dataset=sorted(DATASETS))
}


rule report:
    input:
        [path for path in ARTIFACTS if not path.startswith(RECORDS)],
    output:
        sorted(APPENDED),
        record=f"{RECORDS}/report.json",
        report_html=shown(PAGE, labels={"shows": "the whole analysis", "as": "page"}),
    log:
        f"{LOGS}/report.log",
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        # A function, because in a text Snakemake would take {braces} of a label for wildcards.
        task=lambda w: task("report", config=SETTINGS),
    script:
        "../scripts/report.py"


rule word:
    input:
        rules.report.input,
    output:
        **outputs("word"),
    log:
        f"{LOGS}/word.log",
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        task=lambda w: task("word", config=SETTINGS),
    script:
        "../scripts/word.py"


rule workbook:
    input:
        [path for path in ARTIFACTS if path.endswith(".csv")],
    output:
        **outputs("workbook"),
    log:
        f"{LOGS}/workbook.log",
    threads: 1
    resources:
        mem_mb=growing(1000, per_mb=30),
        runtime=growing(10, per_mb=2),
    params:
        task=lambda w: task("workbook", report=SETTINGS.report),
    script:
        "../scripts/workbook.py"


# What people look at in the end, and read elsewhere where the configuration asks for it.
READ = [
    rules.report,
    *([rules.word] if SETTINGS.report.docx else []),
    *([rules.workbook] if SETTINGS.report.xlsx else []),
]


rule manifest:
    input:
        ARTIFACTS,
        [expand(rule.output, **wildcards) for rule, wildcards in DRAWN],
        [rule.output for rule in READ],
    output:
        path_of("manifest"),
    log:
        f"{LOGS}/manifest.log",
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        task=lambda w: task("manifest"),
    script:
        "../scripts/manifest.py"


# `mixedflow verify` asks what each job would rest on now, and needs no run for it.
leave_plan(
    lambda: [planned(*job) for job in [*WORK, *DRAWN, *((rule, {}) for rule in READ)]],
    RECORDS,
    # Made by jobs without records.
    others=[path for name in sorted(CHUNKED) for path in chunks_of(name)],
)
