"""What is said of several grouping factors: nested, crossed, restarting, in parts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedflow import api
from mixedflow.language.formula import parse
from mixedflow.model.design import design
from mixedflow.model.factor_notes import designed, notes, relations


def schools(sizes, pupils=4):
    """Schools of so many classes, numbered from 1 in each, of so many pupils."""
    pairs = [(s, c) for s, n in enumerate(sizes) for c in range(1, n + 1) for _ in range(pupils)]
    frame = pd.DataFrame(pairs, columns=["school", "class"])
    frame["y"] = np.random.default_rng(1).normal(size=len(frame))
    frame["half"] = (frame["school"] > len(sizes) // 2).astype(int)
    frame["item"] = np.arange(len(frame)) % pupils + pupils * frame["half"]
    return frame


SOME = schools([3, 2, 4, 3, 1, 2])


def factors(text, frame):
    return designed(design(parse(f"y ~ 1 + {text}"), frame))


def noted(text, frame=SOME):
    return list(notes(factors(text, frame)))


def test_sizes_and_relations():
    found = factors("(1 | school/class) + (1 | half)", SOME)
    assert [(f.name, len(f.labels), f.sizes.max()) for f in found] == [
        ("school", 6, 16), ("school:class", 15, 4), ("half", 2, 48),
    ]  # fmt: skip
    assert list(relations(found)) == [
        "'school:class' lies within 'school'",
        "'school' lies within 'half'",
        "'school:class' lies within 'half'",
    ]
    assert list(relations(factors("(1 | school) + (1 | class)", SOME))) == [
        "'school' and 'class' are crossed: 15 of 24 cells have rows"
    ]


@pytest.mark.parametrize("text", ["(1 | school) + (1 | class)", "(1 | class) + (1 | school)"])
def test_labels_that_begin_anew(text):
    (note,) = noted(text)
    assert note.startswith(
        "'class' restarts in each 'school': (1 | school/class) if class 1 of two clusters of "
        "'school' are different"
    )
    # As many classes in each school: told by how many schools there are.
    assert "(1 | school/class)" in noted(text, schools([2] * 12))[0]


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("(1 | school/class)", SOME),
        ("(1 | school:class) + (1 | school)", SOME),
        ("(1 | school) + (1 | room)", SOME.assign(room=SOME["school"] * 10 + SOME["class"])),
        # Each of 24 plates has each of 6 samples once, as in lme4's Penicillin.
        ("(1 | plate) + (1 | sample)", pd.DataFrame(
            {"y": np.arange(144.0), "plate": np.arange(144) // 6, "sample": np.arange(144) % 6})),
    ],
)  # fmt: skip
def test_nothing_to_be_said(text, frame):
    assert noted(text, frame) == []


def test_a_crossing_in_parts():
    (note,) = noted("(1 | school:class) + (1 | item)")
    assert "'school:class' and 'item' are crossed in 2 parts that share no cluster" in note
    # The halves are a factor of the model themselves: they are known to be apart.
    assert noted("(1 | half/item) + (1 | school:class)") == []


def test_quoted_names_are_told():
    odd = SOME.assign(**{"class": np.where(SOME["school"] == 0, "b:c", "c")})
    odd["school"] = np.where(SOME["school"] == 0, "a", np.where(SOME["school"] == 1, "a:b", "z"))
    (note,) = noted("(1 | school:class)", odd)
    assert note.startswith("names of clusters of 'school:class' stand in quotes")


def test_a_fit_says_them_too():
    odd = SOME.assign(**{"class": np.where(SOME["school"] < 3, "b:c", "c")})
    odd["school"] = np.where(SOME["school"] < 3, "a", np.where(SOME["school"] < 5, "a:b", "z"))
    with pytest.warns(UserWarning, match="stand in quotes"):
        fit = api.fit("y ~ 1 + (1 | school:class)", odd)
    assert any("stand in quotes" in text for text in fit.report().warnings)
