# The clusters of a model in order, with the uncertainty of that order.

RANKED = sorted(name for name, model in MODELS.items() if model.rank)
IN_RANKING = {"unit": "model", "category": "Rankings"}


rule rank:
    input:
        fit=f"{MODEL}/fit.json",
        posterior=f"{MODEL}/posterior.npz",
        card=lambda w: f"{dataset_of(w.model)}/data_card.json",
    output:
        **tables(("ranking",), folder=MODEL, **IN_RANKING),
        **figures(("caterpillar",), folder=f"{MODEL}/figures", **IN_RANKING),
    log:
        f"{LOGS}/rank/{{model}}.log",
    wildcard_constraints:
        model=one_of(RANKED),
    threads: 1
    resources:
        mem_mb=2000,
    params:
        task=lambda w: task("ranking", "figures.ranking", "tables", rank=MODELS[w.model].rank),
    script:
        "../scripts/rank.py"
