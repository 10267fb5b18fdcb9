# One model of one data set: the fit with its tables, then its figures.

IN_MODEL = {"unit": "model", "category": "Models"}
FIT_TABLES = (
    "fixed_effects",
    "variance_components",
    "cluster_effects",
    "predictions",
    "curves",
    "variance_function",
)


rule fit:
    input:
        data=lambda w: f"{dataset_of(w.model)}/data.parquet",
        card=lambda w: f"{dataset_of(w.model)}/data_card.json",
    output:
        **tables(FIT_TABLES, folder=MODEL, **IN_MODEL),
        fit=f"{MODEL}/fit.json",
        posterior=f"{MODEL}/posterior.npz",
    log:
        f"{LOGS}/fit/{{model}}.log",
    threads: 1
    resources:
        mem_mb=4000,
    params:
        task=lambda w: task(
            "mixed",
            "tables",
            model=replace(MODELS[w.model], rank=None),
            dataset=DATASETS[MODELS[w.model].dataset],
        ),
    script:
        "../scripts/fit.py"


rule figures:
    input:
        **{name: f"{MODEL}/{name}.csv" for name in FIT_TABLES if name != "fixed_effects"},
        fit=f"{MODEL}/fit.json",
        card=lambda w: f"{dataset_of(w.model)}/data_card.json",
    output:
        **figures(
            ("shrinkage", "fitted_lines", "means", "variance"),
            folder=f"{MODEL}/figures",
            **IN_MODEL,
        ),
    log:
        f"{LOGS}/figures/{{model}}.log",
    threads: 1
    resources:
        mem_mb=2000,
    params:
        task=task("figures.models", "tables"),
    script:
        "../scripts/figures.py"
