# One model of one data set: the fit, its tables and its figures. One job, because starting an
# interpreter with its libraries costs as much as all the figures.

IN_MODEL = {"unit": "model", "category": "Models"}
BOOTSTRAPPED = {name for name, model in MODELS.items() if model.inference.intervals == "bootstrap"}
COMPARISONS = SETTINGS.comparisons
SIMULATED = sorted(name for name, comparison in COMPARISONS.items() if comparison.bootstrap)
OF_A_FIT = {
    "record": f"{RECORDS}/fit/{{model}}.json",
    **tables(
        (
            "fixed_effects",
            "variance_components",
            "contrasts",
            "alternatives",
            "cluster_effects",
            "predictions",
            "curves",
            "variance_function",
            "effects_diagnostic",
            "influence",
        ),
        folder=MODEL,
        **IN_MODEL,
    ),
    **figures(
        (
            "shrinkage",
            "fitted_lines",
            "means",
            "variance",
            "residual_qq",
            "residuals_fitted",
            "effects_qq",
            "influence",
        ),
        folder=f"{MODEL}/figures",
        **IN_MODEL,
    ),
    "fit": f"{MODEL}/fit.json",
    "posterior": f"{MODEL}/posterior.npz",
}
PREPARED = {
    "data": lambda w: f"{dataset_of(w.model)}/data.parquet",
    "card": lambda w: f"{dataset_of(w.model)}/data_card.json",
}


rule fit:
    input:
        **PREPARED,
    output:
        **OF_A_FIT,
    log:
        f"{LOGS}/fit/{{model}}.log",
    wildcard_constraints:
        model=one_of(MODELS.keys() - BOOTSTRAPPED - IN_CHUNKS),
    threads: 1
    resources:
        mem_mb=growing(1000, per_mb=60),
        runtime=growing(15, per_mb=1),
    params:
        task=lambda w: task(
            "mixed",
            "tables",
            "figures.models",
            "figures.diagnostics",
            "scatter",
            spare=("ranking",),  # Fit.rank is for users of the API
            **of_a_fit(MODELS[w.model]),
        ),
    script:
        "../scripts/fit.py"


# The same from the cross-products of a data set in chunks. The influence of clusters needs rows.
use rule fit as fit_chunked with:
    input:
        **PREPARED,
        products=f"{MODEL}/products.npz",
    output:
        **{name: path for name, path in OF_A_FIT.items() if not name.startswith("influence")},
    wildcard_constraints:
        model=one_of(IN_CHUNKS),
    resources:
        mem_mb=growing(1000, per_mb=15),
        runtime=growing(15, per_mb=0.1),


# The same with a bootstrap, whose draws are made before, and which has one more table.
use rule fit as fit_bootstrapped with:
    input:
        **PREPARED,
        drawn=lambda w: drawn(
            MODELS[w.model].inference.draws, f"{RESULTS}/models/{w.model}/.bootstrap"
        ),
    output:
        **OF_A_FIT,
        **tables(("bootstrap",), folder=MODEL, **IN_MODEL),
    wildcard_constraints:
        model=one_of(BOOTSTRAPPED),


# Draws are kept: a run that was interrupted goes on, and more draws are added to those there are.
rule bootstrap:
    input:
        **PREPARED,
    output:
        draws=f"{MODEL}/.bootstrap/{{first}}-{{last}}.npz",
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
        draws=f"{RESULTS}/.bootstrap/{{comparison}}/{{first}}-{{last}}.npz",
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
