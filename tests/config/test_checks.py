"""What is refused, at which key and in which words."""

from __future__ import annotations

import datetime

import pytest
from configuration import CONFIG, changed

from mixedflow.config import reading
from mixedflow.errors import ConfigError, MixedflowError


@pytest.mark.parametrize(
    "path,value,message",
    [
        ("modles", {}, "unknown key 'modles'; did you mean 'models'?"),
        ("models/growth/metod", "ml", "models.growth: unknown key 'metod'; did you mean 'method'"),
        ("models/growth/method", "mle", "models.growth.method: 'mle' is not allowed; did you mean"),
        ("models/growth/dataset", "childern", "unknown dataset 'childern'; did you mean 'childr"),
        ("models/growth/formula", None, "the key 'formula' is missing"),
        ("models/growth/formula", 3, "must be text, not 3"),
        ("models/growth/formula", "weight ~ age + (1 | id", "models.growth.formula"),
        ("models/growth/formula", "weight ~ age", "no grouping factor"),
        ("models/growth/formula", "weight ~ (1|occ) + (1|g)", "none of the grouping factors 'occ"),
        ("models/growth/formula", "weight ~ (1 | child)", "not the data set's cluster; did you me"),
        ("models/growth/formula", "weight ~ lgo(age) + (1|id)", "unknown function 'lgo'"),
        ("models/school_slope/rank/by", "lrt", "unknown random term 'lrt'"),
        (
            "models/school_slope/rank/beside",
            {"a": "lrt"},
            "rank.beside.a: unknown random term 'lrt'",
        ),
        ("models/school_slope/rank/top", 0, "0 is less than the minimum of 1"),
        ("models/school_slope/rank/best", "hihg", "did you mean 'high'"),
        ("comparisons/gender/null", "school_slop", "unknown model 'school_slop'; did you mean"),
        ("comparisons/gender_reading/null", "school_gender", "compares a model with itself"),
        ("comparisons/gender/null", "growth", "different data sets"),
        (
            "comparisons/slope",
            {"null": "school_slope", "alternative": "school_intercept"},
            "comparisons.slope: null and alternative are swapped: 'school_intercept' is nested in",
        ),
        (
            "models/school_gender_main/formula",
            CONFIG["models"]["school_slope_ml"]["formula"],
            "'school_slope_ml' and 'school_gender_main' are the same model",
        ),
        ("comparisons/gender/null", "school_slope", "fit both by the same method"),
        ("datasets/london/derive/x", "lrt.__class__", "datasets.london.derive.x"),
        ("datasets/london/derive/x", "__import__('os')", "datasets.london.derive.x"),
        ("datasets/london/filter", "(lambda: 1)()", "datasets.london.filter"),
        (
            "datasets/london/source",
            {"file": "a.csv", "url": "https://b"},
            "2 of file, files, rdataset",
        ),
        (
            "datasets/london/reshape",
            {"columns": {"x": "x"}, "occasion": "t"},
            "datasets.london.reshape.columns.x: 'x' has no * that stands for a number",
        ),
        (
            "datasets/london/reshape",
            {"columns": {"t": "x*"}, "occasion": "t"},
            "'t' is one of the new columns too",
        ),
        (
            "datasets/london/reshape",
            {"columns": {"x": ["a", "b"], "y": ["c", "d", "e"]}, "occasion": "t"},
            "the occasions are not as many in each list; x 2, y 3",
        ),
        ("datasets/london/join", [{"file": "a.csv"}], "join.0: the key 'by' is missing"),
        (
            "datasets/london/join",
            [{"file": "a{b}.csv", "by": "school"}],
            "datasets.london.join.file: 'a{b}.csv' has braces",
        ),
        ("datasets/london/source", {}, "0 of file, files, rdataset and url"),
        ("datasets/london/explore/predictor", None, "needs a predictor"),
        ("datasets/children/explore/trend", None, "visit needs a trend"),
        ("datasets/london/explore/trend", "gcse ~ 1", "a trend needs the data set's time"),
        ("datasets/children/time", "id", "datasets.children.time: 'id' is the data set's cluster"),
        ("datasets/children/explore/outcome", "age", "'age' is the data set's time too"),
        ("datasets/children/explore/outcome", "visit", "'visit' is the visit too"),
        ("datasets/children/explore/outcome", "id", "'id' is the data set's cluster too"),
        ("datasets/london/explore/predictor", "gcse", "explore.outcome: 'gcse' is the predictor"),
        ("datasets/london/explore/predictor", "school", "'school' is the data set's cluster"),
        ("datasets/lon don", CONFIG["datasets"]["london"], "the name 'lon don' is not allowed"),
        ("datasets/London", CONFIG["datasets"]["london"], "by its case only"),
        ("results", "../elsewhere", "not a folder inside"),
        ("results", "/tmp/x", "not a folder inside"),
        ("results", "a{b}", "not a folder inside"),
        ("results", "  ", "not a folder inside"),
        ("models/a\n", CONFIG["models"]["growth"], "is not allowed; letters, digits"),
        ("comparisons/Gender", CONFIG["comparisons"]["gender"], "by its case only"),
        ("models/school_slope/rank/by", {"at": {"girl": 1}}, "no random effect depends on 'girl'"),
        ("models/school_slope/rank/by", {"at": {"lrt": 1}}, "no random effect depends on 'lrt'"),
        (
            "models/school_slope/rank/by",
            {"at": {"lrt_groupc": float("nan")}},
            "models.school_slope.rank.by.at.lrt_groupc: nan is not a finite number",
        ),
        ("report/title", "\ud800", "report.title: '\\ud800' holds half a character"),
        ("report/title", datetime.date(2020, 1, 1), "report.title: datetime.date(2020, 1, 1) is"),
        (
            "datasets/london/source",
            {"rdataset": "mlmRev/Exam", "sha256": "a" * 64},
            "source.sha256: is checked for file and url only",
        ),
        (
            "datasets/london/source",
            {"url": "https://b/c.dta", "sha256": "a" * 64 + "\n"},
            "source.sha256",
        ),
        ("datasets/london/levels/schgend", ["mixed", "mixed"], "datasets.london.levels.schgend"),
        (
            "models/school_slope/formula",
            "lrt ~ lrt_groupc + (1 + lrt_groupc | school)",
            "comparisons.slope: the models have different outcomes, 'gcse' and 'lrt'",
        ),
        ("datasets/london/expect/rows", -1, "datasets.london.expect.rows"),
    ],
)
def test_refused_in_one_line(path, value, message):
    with pytest.raises(MixedflowError) as caught:
        reading.load(changed(path, value))
    line = str(caught.value)
    assert message in line and "\n" not in line and line.startswith("config.yaml")


def grouping(formula, **changes):
    config = changed("models/growth/formula", formula)
    config["models"]["growth"]["inference"] = {}
    for key, value in changes.items():
        config["datasets"]["children"][key] = value
    found = reading.load(config).datasets
    assert found["london"].grouping == ()
    return found["children"].grouping


def test_columns_that_models_group_by_hold_names():
    assert grouping("weight ~ age + (1 | id)") == ()
    assert grouping("weight ~ age + (1 | id/occ) + (1 | clinic:nurse)") == (
        "clinic", "nurse", "occ",
    )  # fmt: skip
    assert grouping("weight ~ occ + (1 | id/occ)") == ()  # a number, too
    assert grouping("weight ~ I(mean(age, by=occ)) + (1 | id/occ)") == ("occ",)
    assert grouping("weight ~ 1 + (1 | id/age)", time="age") == ()


def test_columns_that_families_group_by_hold_names():
    config = changed("families", {"f": {
        "dataset": ["children"], "formula": "{y} ~ age + (1 | id) + (1 | nurse)",
        "for": {"y": ["weight", "height"]},
    }})  # fmt: skip
    found = reading.load(config).datasets["children"]
    assert found.grouping == ("nurse",)
    assert type(found).from_json(found.to_json()) == found


def test_reml_fits_of_different_fixed_parts():
    config = changed("comparisons/slope", {"null": "school_intercept", "alternative": "other"})
    config["models"]["other"] = {"dataset": "london", "formula": "gcse ~ girl + (1 | school)"}
    with pytest.raises(ConfigError, match=r"REML fits of different fixed parts .*method: ml"):
        reading.load(config)


@pytest.mark.parametrize(
    ("null", "alternative", "refused"),
    [
        ("sex", "0 + sex", False),
        ("sex * lrt_groupc", "sex + sex:lrt_groupc", False),
        ("sex", "girl", False),  # which is derived from it
        ("lrt", "lrt_groupc", True),
        ("lrt", "girl", True),
        ("lrt", "lrt + I(lrt^2)", True),
        ("sex", "0 + sex + girl", True),
        ("1", "lrt", True),
    ],
)
def test_reml_fits_whose_fixed_parts_may_span_the_same(null, alternative, refused):
    """Without data only what surely differs is refused; the columns decide the rest."""
    config = changed("comparisons", {"c": {"null": "small", "alternative": "large"}})
    for name, fixed, random in (("small", null, "1"), ("large", alternative, "1 + lrt")):
        text = f"gcse ~ {fixed} + ({random} | school)"
        config["models"][name] = {"dataset": "london", "formula": text}
    if not refused:
        assert "c" in reading.load(config).comparisons
        return
    with pytest.raises(ConfigError, match="REML fits of different fixed parts"):
        reading.load(config)


# Data sets read in chunks


def in_chunks(dataset: dict[str, object], model: dict[str, object]) -> dict[str, object]:
    first = {"source": {"file": "a.parquet"}, "cluster": "g", "chunks": 2, **dataset}
    only = {"dataset": "d", "formula": "y ~ x + (1 | g)", **model}
    return {"datasets": {"d": first}, "models": {"m": only}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"derive": {"m": "x - mean(x, by=g)"}}, r"derive\.m: mean\(\) needs all rows at once"),
        ({"filter": "y > min(y)"}, r"filter: min\(\) needs all rows at once"),
        ({"first_per": ["g"]}, "first_per needs all rows at once"),
        ({"join": [{"file": "b.csv", "by": "g"}]}, "join: is not for data that are read in chunks"),
        ({"reshape": {"columns": {"x": "x*"}, "occasion": "t"}}, "reshape: is not for data that"),
        ({"explore": {"outcome": "y", "predictor": "x"}}, "explore: needs all rows at once"),
        ({"suppress": {"min_n": 10}}, "suppress: needs all rows at once"),
        ({"source": {"file": "a.csv"}}, "'a.csv' cannot be read in chunks; convert it"),
        ({"source": {"rdataset": "mlmRev/Exam"}}, "need a file or files as the source"),
    ],
)
def test_what_needs_all_rows_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        reading.load(in_chunks(change, {}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inference": {"intervals": "bootstrap"}}, "intervals: needs all rows at once"),
        ({"inference": {"gee": True}}, "gee: needs all rows at once"),
        ({"formula": "y ~ bs(x, df=5) + (1 | g)"}, r"bs\(\) needs all rows.*write knots=, lower="),
        ({"formula": "y ~ poly(x, 2) + (1 | g)"}, r"poly\(\) needs all rows.*write raw=TRUE"),
        ({"formula": "y ~ scale(x) + (1 | g)"}, r"sd\(\) needs all rows at once"),
        ({"formula": "y ~ C(x) + (1 | g)"}, r"levels of C\(x\); list them under datasets\.d"),
        ({"formula": "y ~ cut(x, [1]) + (1 | g)"}, r"levels of cut\(x, \[1\]\); derive it, and"),
    ],
)
def test_models_that_need_all_rows_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        reading.load(in_chunks({}, change))


@pytest.mark.parametrize("random", ["(1 | g/h)", "(1 | g:h)", "(1 + x | g) + (1 | item)"])
def test_chunks_know_any_grouping_factors(random: str) -> None:
    found = reading.load(in_chunks({}, {"formula": f"y ~ x + {random}"}))
    columns = {"(1 + x | g) + (1 | item)": ("item",)}.get(random, ("h",))
    assert found.datasets["d"].grouping == columns


@pytest.mark.parametrize(
    ("random", "by"),
    [
        ("1 + schgend", "schgend[boys]"),
        ("0 + schgend", {"at": {"schgend": "boys"}}),
        ("1 + lrt + I(lrt^2)", {"at": {"lrt": 1}}),
        ("1 + lrt:schgend", {"at": {"lrt": 1, "schgend": "girls"}}),
        ("1 + lrt:schgend", "lrt:schgend[girls]"),
        ("0 + girl", {"at": {"girl": 1}}),
    ],
)
def test_ranked_by_covariates_and_levels(random, by):
    values = changed("models/school_slope/formula", f"gcse ~ lrt_groupc + ({random} | school)")
    values["models"]["school_slope"]["rank"] = {"by": by}
    values["comparisons"] = {}
    reading.load(values)


SEVERAL = "gcse ~ lrt_groupc + (1 + lrt_groupc | school) + (1 | school:class)"


def ranked_in(rank):
    values = changed("models/school_slope/formula", SEVERAL)
    values["models"]["school_slope"]["rank"] = rank
    values["comparisons"] = {}
    return reading.load(values).models["school_slope"].rank


@pytest.mark.parametrize(
    "rank,group,added",
    [
        ({}, None, ()),
        ({"by": "lrt_groupc"}, None, ()),
        ({"group": "school:class"}, "school:class", ()),
        ({"group": "class", "with": ["school"]}, "class", ("school",)),
        (
            {"group": "class", "with": ["school"], "by": {"at": {"lrt_groupc": 1}}},
            "class",
            ("school",),
        ),
    ],
)
def test_the_ranked_factor_and_those_added(rank, group, added):
    found = ranked_in(rank)
    assert (found.group, found.added) == (group, added)
    assert type(found).from_json(found.to_json()) == found


@pytest.mark.parametrize(
    "rank,message",
    [
        ({"group": "clas"}, "rank.group: unknown grouping factor 'clas'; factors: 'school', 'sch"),
        ({"group": "scool"}, "rank.group: unknown grouping factor 'scool'; did you mean 'school'"),
        ({"with": ["form"]}, "rank.with: unknown grouping factor 'form'"),
        ({"with": ["school"]}, "rank.with: 'school' is what is ranked; leave it out"),
        ({"group": "class", "with": "school"}, "rank.with: must be a list"),
        ({"group": "class", "by": "lrt_groupc"}, "unknown random term 'lrt_groupc'; .*'Intercept'"),
        (
            {"group": "class", "by": {"at": {"lrt_groupc": 1}}},
            "no random effect depends on 'lrt_groupc'",
        ),
    ],
)
def test_what_no_factor_of_the_formula_can_give(rank, message):
    with pytest.raises(ConfigError, match=message):
        ranked_in(rank)


@pytest.mark.parametrize("min_n", [0, -3, 2.5, "ten", None, True])
def test_a_minimum_size_is_a_whole_number_from_1(min_n: object) -> None:
    dataset = {"source": {"file": "a.csv"}, "cluster": "g", "suppress": {"min_n": min_n}}
    with pytest.raises(ConfigError, match=r"datasets\.d\.suppress\.min_n") as caught:
        reading.load({"datasets": {"d": dataset}, "models": {}})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suppress", [{}, {"min": 10}, 10])
def test_a_rule_without_a_minimum_is_refused(suppress: object) -> None:
    dataset = {"source": {"file": "a.csv"}, "cluster": "g", "suppress": suppress}
    with pytest.raises(ConfigError, match=r"datasets\.d\.suppress"):
        reading.load({"datasets": {"d": dataset}, "models": {}})


@pytest.mark.parametrize("text", ["poly(x, 2, raw=TRUE)", "ns(x, knots=[1, 2], lower=0, upper=5)"])
def test_bases_that_need_no_other_rows_can_be_had_in_chunks(text: str) -> None:
    assert reading.load(in_chunks({}, {"formula": f"y ~ {text} + (1 | g)"}))
