# One model of one data set: the fit and its tables; then what people look at, the pages of the tables
# and the figures, whose making fits nothing.

BOOTSTRAPPED = {name for name, model in MODELS.items() if model.inference.intervals == "bootstrap"}
COMPARISONS = SETTINGS.comparisons
MARGINAL = {name for name, model in MODELS.items() if model.cluster}
SIMULATED = sorted(name for name, comparison in COMPARISONS.items() if comparison.bootstrap)
MARGINAL_ROWS = MARGINAL - BOOTSTRAPPED - IN_CHUNKS
PLAIN = MODELS.keys() - BOOTSTRAPPED - IN_CHUNKS - MARGINAL
PREPARED = {
    "data": lambda w: f"{dataset_of(w.model)}/data.parquet",
    "card": lambda w: f"{dataset_of(w.model)}/data_card.json",
}


rule fit:
    input:
        **PREPARED,
    output:
        **outputs("fit", registry.ROWS, registry.EFFECTS),
    log:
        f"{LOGS}/fit/{{model}}.log",
    wildcard_constraints:
        model=one_of(PLAIN),
    threads: 1
    resources:
        mem_mb=growing(1000, per_mb=60),
        runtime=growing(15, per_mb=1),
    params:
        task=lambda w: task("fit", **of_a_fit(MODELS[w.model])),
    script:
        "../scripts/fit.py"


if IN_CHUNKS:

    # The same from the cross-products of a data set in chunks. The influence of clusters needs rows.
    use rule fit as fit_chunked with:
        input:
            **PREPARED,
            products=path_of("add"),
        output:
            **outputs("fit", registry.EFFECTS),
        wildcard_constraints:
            model=one_of(IN_CHUNKS - MARGINAL),
        resources:
            mem_mb=growing(1000, per_mb=15),
            runtime=growing(15, per_mb=0.1),

    use rule fit_chunked as fit_marginal_chunked with:
        output:
            **outputs("fit"),
        wildcard_constraints:
            model=one_of(IN_CHUNKS & MARGINAL),


if BOOTSTRAPPED:

    # The same with a bootstrap, whose draws are made before, and which has one more table.
    use rule fit as fit_bootstrapped with:
        input:
            **PREPARED,
            drawn=lambda w: drawn("bootstrap", MODELS[w.model].inference.draws, model=w.model),
        output:
            **outputs("fit", registry.ROWS, registry.EFFECTS, registry.BOOTSTRAP),
        wildcard_constraints:
            model=one_of(BOOTSTRAPPED - MARGINAL),


if MARGINAL_ROWS:

    # Of a marginal model, in which nothing varies between clusters.
    use rule fit as fit_marginal with:
        output:
            **outputs("fit", registry.ROWS),
        wildcard_constraints:
            model=one_of(MARGINAL_ROWS),


if MARGINAL & BOOTSTRAPPED:

    use rule fit_bootstrapped as fit_marginal_bootstrapped with:
        output:
            **outputs("fit", registry.ROWS, registry.BOOTSTRAP),
        wildcard_constraints:
            model=one_of(MARGINAL & BOOTSTRAPPED),


rule draw:
    input:
        fit=f"{MODEL}/fit.json",
        tables=csv_of("fit", registry.ROWS, registry.EFFECTS),
        card=PREPARED["card"],
    output:
        **outputs("draw", registry.ROWS, registry.EFFECTS),
    log:
        f"{LOGS}/draw/{{model}}.log",
    wildcard_constraints:
        model=one_of(PLAIN),
    threads: 1
    resources:
        mem_mb=growing(1000, per_mb=30),
        runtime=growing(10, per_mb=0.5),
    params:
        task=lambda w: task("draw"),
    script:
        "../scripts/draw.py"


if IN_CHUNKS:

    use rule draw as draw_chunked with:
        input:
            fit=f"{MODEL}/fit.json",
            tables=csv_of("fit", registry.EFFECTS),
            card=PREPARED["card"],
        output:
            **outputs("draw", registry.EFFECTS),
        wildcard_constraints:
            model=one_of(IN_CHUNKS - MARGINAL),

    use rule draw as draw_marginal_chunked with:
        input:
            fit=f"{MODEL}/fit.json",
            tables=csv_of("fit"),
            card=PREPARED["card"],
        output:
            **outputs("draw"),
        wildcard_constraints:
            model=one_of(IN_CHUNKS & MARGINAL),


if BOOTSTRAPPED:

    use rule draw as draw_bootstrapped with:
        input:
            fit=f"{MODEL}/fit.json",
            tables=csv_of("fit", registry.ROWS, registry.EFFECTS, registry.BOOTSTRAP),
            card=PREPARED["card"],
        output:
            **outputs("draw", registry.ROWS, registry.EFFECTS, registry.BOOTSTRAP),
        wildcard_constraints:
            model=one_of(BOOTSTRAPPED - MARGINAL),


if MARGINAL_ROWS:

    use rule draw as draw_marginal with:
        input:
            fit=f"{MODEL}/fit.json",
            tables=csv_of("fit", registry.ROWS),
            card=PREPARED["card"],
        output:
            **outputs("draw", registry.ROWS),
        wildcard_constraints:
            model=one_of(MARGINAL_ROWS),


if MARGINAL & BOOTSTRAPPED:

    use rule draw as draw_marginal_bootstrapped with:
        input:
            fit=f"{MODEL}/fit.json",
            tables=csv_of("fit", registry.ROWS, registry.BOOTSTRAP),
            card=PREPARED["card"],
        output:
            **outputs("draw", registry.ROWS, registry.BOOTSTRAP),
        wildcard_constraints:
            model=one_of(MARGINAL & BOOTSTRAPPED),


# What a residual structure implies over time, beside what the residuals show.
COURSED = {
    name
    for name, model in MODELS.items()
    if model.residual and model.residual.time(DATASETS[model.dataset].time)
}


if COURSED:

    rule residual_structure:
        input:
            **PREPARED,
        output:
            **outputs("residual_structure", registry.COURSE),
        log:
            f"{LOGS}/residual_structure/{{model}}.log",
        wildcard_constraints:
            model=one_of(COURSED - IN_CHUNKS),
        threads: 1
        resources:
            mem_mb=growing(1000, per_mb=30),
            runtime=growing(10, per_mb=0.5),
        params:
            task=lambda w: task("residual_structure", **of_a_course(MODELS[w.model])),
        script:
            "../scripts/residual_structure.py"

    use rule residual_structure as residual_structure_chunked with:
        input:
            **PREPARED,
            products=path_of("add"),
        wildcard_constraints:
            model=one_of(COURSED & IN_CHUNKS),


MEANS = {name for name, model in MODELS.items() if model.means}


if MEANS:

    # Marginal means, their differences, and a figure; the model is fitted once more, which changes
    # nothing that `fit` makes.
    rule means:
        input:
            **PREPARED,
        output:
            **outputs("means", registry.MEANS),
        log:
            f"{LOGS}/means/{{model}}.log",
        wildcard_constraints:
            model=one_of(MEANS),
        threads: 1
        resources:
            mem_mb=growing(1000, per_mb=30),
            runtime=growing(10, per_mb=0.5),
        params:
            task=lambda w: task("means", **of_means(MODELS[w.model])),
        script:
            "../scripts/means.py"


AGREED = {name for name, model in MODELS.items() if model.inference.agreement}


if AGREED:

    # The mean of a model by a random intercept, by an exchangeable marginal model and by GEE.
    rule agreement:
        input:
            **PREPARED,
        output:
            **outputs("agreement", registry.AGREEMENT),
        log:
            f"{LOGS}/agreement/{{model}}.log",
        wildcard_constraints:
            model=one_of(AGREED),
        threads: 1
        resources:
            mem_mb=growing(1000, per_mb=30),
            runtime=growing(10, per_mb=0.5),
        params:
            task=lambda w: task("agreement", **of_agreement(MODELS[w.model])),
        script:
            "../scripts/agreement.py"


if BOOTSTRAPPED or SIMULATED:

    # Draws are kept: a run that was interrupted goes on, and more draws are added to those there are.
    rule bootstrap:
        input:
            **PREPARED,
        output:
            draws=path_of("bootstrap"),
            record=f"{RECORDS}/bootstrap/{{model}}/{{first}}-{{last}}.json",
        log:
            f"{LOGS}/bootstrap/{{model}}/{{first}}-{{last}}.log",
        wildcard_constraints:
            model=one_of(BOOTSTRAPPED),
        threads: 1
        resources:
            mem_mb=growing(500, per_mb=40),
            runtime=growing(15, per_mb=5),
        params:
            task=lambda w: task(
                "bootstrap", null=refitted(w.model, seed=MODELS[w.model].inference.seed)
            ),
        script:
            "../scripts/bootstrap.py"

    # Refits of two models to data from the first.
    use rule bootstrap as bootstrap_test with:
        input:
            data=lambda w: f"{dataset_of(COMPARISONS[w.comparison].null)}/data.parquet",
            card=lambda w: f"{dataset_of(COMPARISONS[w.comparison].null)}/data_card.json",
        output:
            draws=path_of("bootstrap_test"),
            record=f"{RECORDS}/bootstrap_test/{{comparison}}/{{first}}-{{last}}.json",
        log:
            f"{LOGS}/bootstrap_test/{{comparison}}/{{first}}-{{last}}.log",
        wildcard_constraints:
            comparison=one_of(SIMULATED),
        params:
            task=lambda w: task(
                "bootstrap",
                null=refitted(COMPARISONS[w.comparison].null, COMPARISONS[w.comparison].seed),
                alternative=refitted(COMPARISONS[w.comparison].alternative, seed=0),
            ),
