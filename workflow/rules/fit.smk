# One model of one data set: the fit, its tables and its figures. One job, because starting an
# interpreter with its libraries costs as much as all the figures.

IN_MODEL = {"unit": "model", "category": "Models"}


rule fit:
    input:
        data=lambda w: f"{dataset_of(w.model)}/data.parquet",
        card=lambda w: f"{dataset_of(w.model)}/data_card.json",
    output:
        **tables(
            (
                "fixed_effects",
                "variance_components",
                "cluster_effects",
                "predictions",
                "curves",
                "variance_function",
            ),
            folder=MODEL,
            **IN_MODEL,
        ),
        **figures(
            ("shrinkage", "fitted_lines", "means", "variance"),
            folder=f"{MODEL}/figures",
            **IN_MODEL,
        ),
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
            "figures.models",
            spare=("ranking",),  # Fit.rank is for users of the API
            model=replace(MODELS[w.model], rank=None),
            dataset=DATASETS[MODELS[w.model].dataset],
        ),
    script:
        "../scripts/fit.py"
