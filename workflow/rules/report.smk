# What models say together: comparisons, the report, the manifest of all artifacts.


report: "../report/workflow.rst"


COMPARED = sorted({name for c in COMPARISONS.values() for name in (c.null, c.alternative)})


rule compare:
    input:
        fits=[f"{RESULTS}/models/{name}/fit.json" for name in COMPARED],
        drawn=[
            path
            for name in SIMULATED
            for path in drawn(COMPARISONS[name].bootstrap, f"{RESULTS}/.bootstrap/{name}")
        ],
    output:
        table=f"{RESULTS}/comparisons.csv",
        page=report(
            f"{RESULTS}/comparisons.html",
            caption="../report/comparisons.rst",
            category="Comparisons",
            labels={"shows": "likelihood-ratio tests", "as": "table"},
        ),
    log:
        f"{LOGS}/compare.log",
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        task=task(
            *(("bootstrap",) if SIMULATED else ()), "inference", "tables", comparisons=COMPARISONS
        ),
    script:
        "../scripts/compare.py"


# What a paper prints, made from the tables: a change of layout fits nothing anew.
PUBLISHED = ("fixed_effects", "variance_components")


rule publish:
    input:
        fits=expand(f"{MODEL}/fit.json", model=sorted(MODELS)),
        tables=expand(f"{MODEL}/{{table}}.csv", model=sorted(MODELS), table=PUBLISHED),
        rankings=expand(f"{MODEL}/ranking.csv", model=RANKED),
        comparisons=[f"{RESULTS}/comparisons.csv"] if COMPARED else [],
        cards=expand(f"{DATASET}/data_card.json", dataset=sorted(DATASETS)),
    output:
        expand(f"{MODEL}/{{table}}.tex", model=sorted(MODELS), table=PUBLISHED),
        expand(f"{MODEL}/ranking.tex", model=RANKED),
        [f"{RESULTS}/comparisons.tex"] if COMPARED else [],
        expand(f"{DATASET}/models.tex", dataset=sorted(DATASETS)),
        [
            report(
                f"{DATASET.format(dataset=name)}/models.html",
                caption="../report/models.rst",
                category="Comparisons",
                labels={"shows": f"models of {name} side by side", "as": "table"},
            )
            for name in sorted(DATASETS)
        ],
    log:
        f"{LOGS}/publish.log",
    threads: 1
    resources:
        mem_mb=1000,
    params:
        task=task("publication"),
    script:
        "../scripts/publish.py"


ARTIFACTS = [
    *expand(rules.prepare.output, dataset=sorted(DATASETS)),
    *expand(rules.explore.output, dataset=sorted(EXPLORED.keys() - TIMED)),
    *expand(rules.explore_time.output, dataset=sorted(TIMED - VISITED)),
    *expand(rules.explore_visits.output, dataset=sorted(VISITED)),
    *expand(rules.fit.output, model=sorted(MODELS.keys() - BOOTSTRAPPED)),
    *expand(rules.fit_bootstrapped.output, model=sorted(BOOTSTRAPPED)),
    *expand(rules.rank.output, model=sorted(set(RANKED) - SLOPED)),
    *expand(rules.rank_over.output, model=sorted(SLOPED)),
    *expand(rules.moves.output, dataset=sorted(MOVED)),
    *(rules.compare.output if COMPARED else []),
    *rules.publish.output,
]


rule report:
    input:
        ARTIFACTS,
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../report/report.rst",
            category="Report",
            labels={"shows": "the whole analysis", "as": "page"},
        ),
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


rule manifest:
    input:
        ARTIFACTS,
        f"{RESULTS}/report.html",
    output:
        f"{RESULTS}/manifest.json",
    log:
        f"{LOGS}/manifest.log",
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        task=task("provenance"),
    script:
        "../scripts/manifest.py"
