# One model of one data set: the fit, its tables and its figures. One job, because starting an
# interpreter with its libraries costs as much as all the figures.

IN_MODEL = {"unit": "model", "category": "Models"}
BOOTSTRAPPED = {name for name, model in MODELS.items() if model.inference.intervals == "bootstrap"}
OF_A_FIT = {
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


rule fit:
    input:
        data=lambda w: f"{dataset_of(w.model)}/data.parquet",
        card=lambda w: f"{dataset_of(w.model)}/data_card.json",
    output:
        **OF_A_FIT,
    log:
        f"{LOGS}/fit/{{model}}.log",
    wildcard_constraints:
        model=one_of(MODELS.keys() - BOOTSTRAPPED),
    threads: 1
    resources:
        mem_mb=4000,
    params:
        task=lambda w: task(
            "mixed",
            "tables",
            "figures.models",
            "figures.diagnostics",
            spare=("ranking",),  # Fit.rank is for users of the API
            model=replace(MODELS[w.model], rank=None),
            dataset=DATASETS[MODELS[w.model].dataset],
        ),
    script:
        "../scripts/fit.py"


# The same with a bootstrap, which has one more table and work for every core.
use rule fit as fit_bootstrapped with:
    output:
        **OF_A_FIT,
        **tables(("bootstrap",), folder=MODEL, **IN_MODEL),
    wildcard_constraints:
        model=one_of(BOOTSTRAPPED),
    threads: workflow.cores
