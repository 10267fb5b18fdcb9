# The clusters of a model in order, with the uncertainty of that order; and how the order moves
# between the models of a data set. With a random slope the order depends on the covariate.

from mixedflow.language import formula
from mixedflow.config.grouping import ranked
from mixedflow.config.specs import OrderSpec

RANKED = sorted(name for name, model in MODELS.items() if model.rank)
SLOPED = {
    name
    for name in RANKED
    if formula.slope_of(
        ranked(name, MODELS[name].rank, formula.parse(MODELS[name].formula, name))[0].random_terms
    )
}
MOVED = {
    dataset: [
        name for name, model in MODELS.items() if model.dataset == dataset and name not in MARGINAL
    ]
    for dataset in sorted({MODELS[name].dataset for name in RANKED})
}


rule rank:
    input:
        fit=f"{MODEL}/fit.json",
        posterior=f"{MODEL}/posterior.npz",
        card=lambda w: f"{dataset_of(w.model)}/data_card.json",
    output:
        **outputs("rank"),
    log:
        f"{LOGS}/rank/{{model}}.log",
    wildcard_constraints:
        model=one_of(set(RANKED) - SLOPED),
    threads: 1
    resources:
        mem_mb=4000,
    params:
        task=lambda w: task("rank", rank=MODELS[w.model].rank),
    script:
        "../scripts/rank.py"


use rule rank as rank_over with:
    output:
        **outputs("rank", registry.SLOPE),
    wildcard_constraints:
        model=one_of(SLOPED),


rule moves:
    input:
        fits=lambda w: [f"{RESULTS}/models/{name}/fit.json" for name in MOVED[w.dataset]],
        posteriors=lambda w: [f"{RESULTS}/models/{name}/posterior.npz" for name in MOVED[w.dataset]],
        card=f"{DATASET}/data_card.json",
    output:
        **outputs("moves"),
    log:
        f"{LOGS}/moves/{{dataset}}.log",
    wildcard_constraints:
        dataset=one_of(MOVED),
    threads: 1
    resources:
        mem_mb=2000,
    params:
        task=lambda w: task(
            "moves",
            ranks={
                name: OrderSpec.within(MODELS[name].rank)
                for name in MOVED[w.dataset]
                if MODELS[name].rank
            },
        ),
    script:
        "../scripts/moves.py"
