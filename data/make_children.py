"""Write children_synthetic.dta: growth of 68 children who do not exist.

Run from anywhere: ``python data/make_children.py [folder]``. The seed is fixed, so the file is the
same every time. README.md beside this script says what is simulated from what.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import numpy as np
import pandas as pd

# Of the first forty seeds the one whose fit is nearest the estimates, no weight below 2.2 kg.
SEED = 31
NAME = "children_synthetic.dta"
FILE_LABEL = "SYNTHETIC weights of children, simulated, not observed"
VARIABLE_LABELS = {
    "id": "Child (synthetic identifier)",
    "occ": "Weighing, counted within the child",
    "age": "Age (years)",
    "weight": "Weight (kg)",
    "brthwt": "Weight at birth (g)",
    "gender": "Gender",
}
VALUE_LABELS = {"gender": {1: "boy", 2: "girl"}}

# Published estimates (maximum likelihood) of the lecture's growth model.
INTERCEPT, AGE, AGE_AFTER_1 = 10.27181, 6.466099, -4.5202
GIRL, GIRL_AGE, GIRL_AGE_AFTER_1 = -0.9660133, -0.7398512, 0.8015376
VAR_CHILD, VAR_RESIDUAL = 0.7161207, 0.5727228

# Mean and SD of age at each occasion, and the window that it stays in.
OCCASIONS = ((0.12, 0.03, 0.06, 0.30), (0.67, 0.05, 0.45, 0.90))
OCCASIONS += ((1.04, 0.05, 0.97, 1.40), (2.25, 0.08, 1.90, 2.60))
CHILDREN_WITH_VISITS = {4: 15, 3: 27, 2: 22, 1: 4}  # 68 children, 189 visits
EXTRA_WEIGHINGS = 9
SHARE_OF_GIRLS = 0.5


def mean_weight(age: np.ndarray, girl: np.ndarray) -> np.ndarray:
    """Expected weight in kg at ``age`` years, (N,)."""
    centred, after = age - 1, np.maximum(age - 1, 0)
    boys = INTERCEPT + AGE * centred + AGE_AFTER_1 * after
    return boys + girl * (GIRL + GIRL_AGE * centred + GIRL_AGE_AFTER_1 * after)


def visit_ages(rng: np.random.Generator, occasion: int) -> float:
    mean, sd, earliest, latest = OCCASIONS[occasion]
    while True:
        age = rng.normal(mean, sd)
        if earliest <= age <= latest:
            return float(age)


def simulate(seed: int = SEED) -> pd.DataFrame:
    """198 rows: 189 first weighings in a window, and 9 that follow within some weeks."""
    rng = np.random.default_rng(seed)
    n_visits = rng.permutation(np.repeat(*zip(*CHILDREN_WITH_VISITS.items(), strict=True)))
    n_children = len(n_visits)
    ids = np.sort(rng.choice(np.arange(100, 5000), n_children, replace=False))
    girl = rng.permutation(np.arange(n_children) < SHARE_OF_GIRLS * n_children).astype(int)
    deviation = rng.normal(0, np.sqrt(VAR_CHILD), n_children)
    # Heavier babies stay heavier: two fifths of the spread at birth goes with the growth's.
    birth = (
        3200 - 120 * girl + 190 * deviation / np.sqrt(VAR_CHILD) + rng.normal(0, 390, n_children)
    )

    visits = [
        (child, visit_ages(rng, int(occasion)))
        for child in range(n_children)
        for occasion in rng.choice(len(OCCASIONS), n_visits[child], replace=False)
    ]
    again = rng.choice(len(visits), EXTRA_WEIGHINGS, replace=False)
    visits += [(visits[i][0], visits[i][1] + rng.uniform(0.02, 0.08)) for i in again]
    child = np.array([c for c, _ in visits])
    age = np.array([a for _, a in visits])
    weight = mean_weight(age, girl[child]) + deviation[child]
    weight += rng.normal(0, np.sqrt(VAR_RESIDUAL), len(age))

    frame = pd.DataFrame({"id": ids[child].astype("int16"), "age": age.astype("float32")})
    frame["weight"] = weight.round(2).astype("float32")
    frame["brthwt"] = (birth.round(-1)[child]).astype("int16")
    frame["gender"] = (girl[child] + 1).astype("int16")
    frame = frame.sort_values(["id", "age"], ignore_index=True)
    frame.insert(1, "occ", (frame.groupby("id").cumcount() + 1).astype("int8"))
    return frame


def write(folder: Path) -> Path:
    path = folder / NAME
    simulate().to_stata(
        path,
        write_index=False,
        version=118,
        data_label=FILE_LABEL,
        variable_labels=VARIABLE_LABELS,
        value_labels=VALUE_LABELS,
        time_stamp=datetime.datetime(2000, 1, 1),  # any fixed one keeps the bytes the same
    )
    return path


if __name__ == "__main__":
    print(write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))
