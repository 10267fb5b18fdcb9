# A data set of the configuration -> prepared rows and the card that accounts for them; the card as a
# page is made apart, so that other words prepare nothing anew.


rule prepare:
    input:
        source=lambda w: sources(files_of(w.dataset)),
        joined=lambda w: sources(joined_to(w.dataset)),
    output:
        **outputs("prepare"),
    log:
        f"{LOGS}/prepare/{{dataset}}.log",
    wildcard_constraints:
        dataset=one_of(name for name, dataset in DATASETS.items() if not dataset.chunks),
    threads: 1
    resources:
        mem_mb=growing(500, per_mb=15),
        runtime=growing(10, per_mb=0.1),
    params:
        task=lambda w: task(
            "prepare",
            dataset=replace(DATASETS[w.dataset], explore=None),
            source=content(
                files_of(w.dataset) + joined_to(w.dataset), DATASETS[w.dataset].source.rdataset
            ),
        ),
    script:
        "../scripts/prepare.py"


rule card:
    input:
        card=f"{DATASET}/data_card.json",
    output:
        **outputs("card", labels={"data set": "{dataset}", "shows": "data card"}),
    log:
        f"{LOGS}/card/{{dataset}}.log",
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=growing(10),
    params:
        task=lambda w: task("card"),
    script:
        "../scripts/card.py"
