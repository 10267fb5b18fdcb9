# Families of models: members in batches, because starting an interpreter with its libraries costs
# as much as thirty small fits; then one table and one figure over all members of a family.

from mixedflow.config import families

FAMILIES = SETTINGS.families
MEMBER = f"{RESULTS}/{registry.MEMBER.folder}"
MEMBERS = {
    name: {m.name: MEMBER.format(family=name, member=m.name) for m in families.expand(one)}
    for name, one in FAMILIES.items()
}

BATCHES = []
for family_name, family_spec in FAMILIES.items():
    for batch_name, batch in families.batches(family_spec).items():
        used = sorted({member.dataset for member in batch.members})
        own = sorted({member.file for member in batch.members if member.file})
        read = own + [path for name in used if own for path in joined_to(name)]
        BATCHES.append(f"family_{family_name}_{batch_name}")

        rule:
            name:
                BATCHES[-1]
            input:
                data=[f"{RESULTS}/datasets/{name}/data.parquet" for name in used if not own],
                cards=[f"{RESULTS}/datasets/{name}/data_card.json" for name in used if not own],
                files=lambda _, read=read: sources(read),
            output:
                folders=[directory(MEMBERS[family_name][m.name]) for m in batch.members],
                record=f"{RECORDS}/family_batch/{family_name}/{batch_name}.json",
            log:
                f"{LOGS}/families/{family_name}/{batch_name}.log",
            # Of the profile for Slurm, which cannot name these rules; alone it does nothing.
            group:
                "models"
            threads: 1
            resources:
                mem_mb=growing(1000, per_mb=60),
                runtime=growing(30, per_mb=1),
            params:
                # A function, because braces in a text of the configuration are no wildcards.
                task=lambda _, batch=batch, used=used, own=own, read=read: task(
                    "family_batch",
                    batch=batch,
                    datasets={
                        name: replace(DATASETS[name], explore=None, expect={})
                        for name in used
                        if own
                    },
                    source=content(read),
                ),
            script:
                "../scripts/family_batch.py"


if FAMILIES:

    rule family:
        input:
            lambda w: list(MEMBERS[w.family].values()),
        output:
            **outputs("family"),
        log:
            f"{LOGS}/families/{{family}}.log",
        wildcard_constraints:
            family=one_of(FAMILIES),
        threads: 1
        resources:
            mem_mb=growing(1000),
            runtime=growing(10),
        params:
            task=lambda w: task("family_table", family=FAMILIES[w.family]),
        script:
            "../scripts/family_table.py"
