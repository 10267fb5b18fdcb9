# Covariance structures of one mean model, side by side; with a column of time, what they imply along
# it over what the rows say.

STRUCTURES = SETTINGS.structures
COURSES = {name for name, one in STRUCTURES.items() if one.time}


if STRUCTURES:

    rule structures:
        input:
            data=lambda w: f"{RESULTS}/datasets/{STRUCTURES[w.structures].dataset}/data.parquet",
            card=lambda w: f"{RESULTS}/datasets/{STRUCTURES[w.structures].dataset}/data_card.json",
        output:
            **outputs("structures"),
        log:
            f"{LOGS}/structures/{{structures}}.log",
        wildcard_constraints:
            structures=one_of(STRUCTURES.keys() - COURSES),
        threads: 1
        resources:
            mem_mb=growing(1000, per_mb=60),
            runtime=growing(30, per_mb=1),
        params:
            task=lambda w: task("structures", structures=STRUCTURES[w.structures]),
        script:
            "../scripts/structures.py"

    use rule structures as structures_time with:
        output:
            **outputs("structures", registry.TIME),
        wildcard_constraints:
            structures=one_of(COURSES),
