# One model of one data set: the fit and its tables; then what people look at, the pages of the tables
# and the figures, whose making fits nothing.

IN_MODEL = {"unit": "model", "category": "Models"}
MODEL_TABLES = (
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
)
MODEL_FIGURES = (
    "shrinkage",
    "fitted_lines",
    "means",
    "variance",
    "residual_qq",
    "residuals_fitted",
    "effects_qq",
    "influence",
)
BOOTSTRAPPED = {name for name, model in MODELS.items() if model.inference.intervals == "bootstrap"}
COMPARISONS = SETTINGS.comparisons
SIMULATED = sorted(name for name, comparison in COMPARISONS.items() if comparison.bootstrap)
OF_A_FIT = {
    "record": f"{RECORDS}/fit/{{model}}.json",
    **{name: f"{MODEL}/{name}.csv" for name in MODEL_TABLES},
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
        task=lambda w: task("fit", **of_a_fit(MODELS[w.model])),
    script:
        "../scripts/fit.py"


# The same from the cross-products of a data set in chunks. The influence of clusters needs rows.
use rule fit as fit_chunked with:
    input:
        **PREPARED,
        products=f"{MODEL}/products.npz",
    output:
        **{name: path for name, path in OF_A_FIT.items() if name != "influence"},
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
        bootstrap=f"{MODEL}/bootstrap.csv",
    wildcard_constraints:
        model=one_of(BOOTSTRAPPED),


def looked_at(names, drawn):
    """Outputs: the pages of a model's tables, and its figures."""
    folder = f"{MODEL}/figures"
    return {
        "record": f"{RECORDS}/draw/{{model}}.json",
        **{f"{name}_html": shown(f"{MODEL}/{name}.html", **IN_MODEL) for name in names},
        **figures(drawn, folder=folder, **IN_MODEL),
    }


rule draw:
    input:
        fit=f"{MODEL}/fit.json",
        tables=[f"{MODEL}/{name}.csv" for name in MODEL_TABLES],
        card=PREPARED["card"],
    output:
        **looked_at(MODEL_TABLES, MODEL_FIGURES),
    log:
        f"{LOGS}/draw/{{model}}.log",
    wildcard_constraints:
        model=one_of(MODELS.keys() - BOOTSTRAPPED - IN_CHUNKS),
    threads: 1
    resources:
        mem_mb=growing(1000, per_mb=30),
        runtime=growing(10, per_mb=0.5),
    params:
        task=lambda w: task("draw"),
    script:
        "../scripts/draw.py"


OF_CHUNKS = [name for name in MODEL_TABLES if name != "influence"]


use rule draw as draw_chunked with:
    input:
        fit=f"{MODEL}/fit.json",
        tables=[f"{MODEL}/{name}.csv" for name in OF_CHUNKS],
        card=PREPARED["card"],
    output:
        **looked_at(OF_CHUNKS, [name for name in MODEL_FIGURES if name != "influence"]),
    wildcard_constraints:
        model=one_of(IN_CHUNKS),


use rule draw as draw_bootstrapped with:
    input:
        fit=f"{MODEL}/fit.json",
        tables=[f"{MODEL}/{name}.csv" for name in (*MODEL_TABLES, "bootstrap")],
        card=PREPARED["card"],
    output:
        **looked_at((*MODEL_TABLES, "bootstrap"), MODEL_FIGURES),
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
