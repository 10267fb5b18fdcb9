# A data set larger than memory -> its chunks' cross-products, the sums of each model, and the card
# with a sample of the rows. A chunk that fails leaves the others' files, and runs again alone.

CHUNKED = {name for name, dataset in DATASETS.items() if dataset.chunks}
IN_CHUNKS = {name for name, model in MODELS.items() if model.dataset in CHUNKED}


if CHUNKED:

    rule reduce:
        input:
            source=lambda w: sources(files_of(w.dataset, file=int(w.file))),
        output:
            chunk=path_of("reduce"),
        log:
            f"{LOGS}/reduce/{{dataset}}/{{file}}-{{part}}.log",
        wildcard_constraints:
            dataset=one_of(CHUNKED),
            file="[0-9]+",
            part="[0-9]+",
        threads: 1
        resources:
            mem_mb=lambda w, input, attempt: int(
                attempt * (500 + 30 * input.size_mb / DATASETS[w.dataset].chunks)
            ),
            runtime=growing(10, per_mb=0.01),
        params:
            task=lambda w: task(
                "reduce",
                dataset=rows_of(w.dataset, file=int(w.file)),
                formulas={
                    name: asked(model)
                    for name, model in MODELS.items()
                    if model.dataset == w.dataset
                },
                source=content(files_of(w.dataset, file=int(w.file))),
            ),
        script:
            "../scripts/reduce.py"

    # The sources are read by the chunks' jobs; here they are inputs because the record holds them.
    rule gather:
        input:
            chunks=lambda w: chunks_of(w.dataset),
            sources=lambda w: sources(files_of(w.dataset)),
        output:
            **outputs("gather"),
        log:
            f"{LOGS}/gather/{{dataset}}.log",
        wildcard_constraints:
            dataset=one_of(CHUNKED),
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(10, per_mb=0.01),
        params:
            task=lambda w: task(
                "gather", dataset=DATASETS[w.dataset], source=content(files_of(w.dataset))
            ),
        script:
            "../scripts/gather.py"

    rule add:
        input:
            chunks=lambda w: chunks_of(MODELS[w.model].dataset),
        output:
            **outputs("add"),
        log:
            f"{LOGS}/add/{{model}}.log",
        wildcard_constraints:
            model=one_of(IN_CHUNKS),
        threads: 1
        resources:
            mem_mb=growing(500, per_mb=3),
            runtime=growing(10, per_mb=0.01),
        params:
            task=lambda w: task(
                "add",
                dataset=rows_of(MODELS[w.model].dataset),
                formula=asked(MODELS[w.model]),
                # Chunks have no records: so `mixedflow verify` sees that their source changed.
                source=content(files_of(MODELS[w.model].dataset)),
            ),
        script:
            "../scripts/add.py"
