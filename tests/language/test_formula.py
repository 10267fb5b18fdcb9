"""Formulas: what they mean, against R's rules; what they refuse."""

from __future__ import annotations

import pytest

from mixedflow.errors import FormulaError
from mixedflow.language import formula


def fixed(text):
    return list(formula.parse(text).fixed)


# The right-hand sides are what R's terms() gives for the same formula.
@pytest.mark.parametrize(
    "text,terms",
    [
        ("y ~ x", ["Intercept", "x"]),
        ("y ~ 0 + x", ["x"]),
        ("y ~ x - 1", ["x"]),
        ("y ~ -1 + x", ["x"]),
        ("y ~ 1", ["Intercept"]),
        ("y ~ a * b", ["Intercept", "a", "b", "a:b"]),
        ("y ~ a:b + b + a", ["Intercept", "b", "a", "a:b"]),
        ("y ~ (a + b) * c", ["Intercept", "a", "b", "c", "a:c", "b:c"]),
        ("y ~ (a + b + c)^2", ["Intercept", "a", "b", "c", "a:b", "a:c", "b:c"]),
        ("y ~ a * b - a:b", ["Intercept", "a", "b"]),
        ("y ~ a / b", ["Intercept", "a", "a:b"]),
        ("y ~ a + b + b:a + a:b", ["Intercept", "a", "b", "b:a"]),
        ("y ~ x + I(x^2)", ["Intercept", "x", "I(x^2)"]),
        ("y ~ log(x) + `odd name`", ["Intercept", "log(x)", "odd name"]),
    ],
)
def test_fixed_terms(text, terms):
    assert fixed(text) == terms


@pytest.mark.parametrize(
    "text,blocks",
    [
        ("y ~ x + (1 | g)", [["Intercept"]]),
        ("y ~ x + (x | g)", [["Intercept", "x"]]),
        ("y ~ x + (1 + x | g)", [["Intercept", "x"]]),
        ("y ~ x + (0 + x | g)", [["x"]]),
        ("y ~ x + (x - 1 | g)", [["x"]]),
        ("y ~ x + (1 + x || g)", [["Intercept"], ["x"]]),
        ("y ~ x + (1 | g) + (0 + x | g)", [["Intercept"], ["x"]]),
        ("y ~ (1 + x*z | g) + x", [["Intercept", "x", "z", "x:z"]]),
    ],
)
def test_random_terms(text, blocks):
    parsed = formula.parse(text)
    assert [[formula.show(t) for t in block.terms] for block in parsed.blocks] == blocks
    assert [group.name for group in parsed.groups] == ["g"]


@pytest.mark.parametrize(
    "text,message",
    [
        ("y ~ x + (1 | g) + (1 | g)", "effect of 'g' stands twice"),
        ("y ~ x + (1 | g/h) + (x | h:g)", "effect of 'g:h' stands twice"),
        ("y ~ x + (1 | g) + (1 | g/h)", "effect of 'g' stands twice"),
        ("y ~ x + (1 | g/g)", "'g' stands twice behind one"),
        ("y ~ x + (1 | g:h) + (1 | `g:h`)", "two grouping factors would be called 'g:h'"),
        ("y ~ x + (1 | g | h)", "behind '|' stand columns"),
        ("y ~ x + (1 | g/)", "behind '|' stand columns"),
        ("abs(y) ~ x", "left-hand side"),
        ("y x", "left-hand side"),
        ("y ~ x +", "ends too early"),
        ("y ~ (x", "expected"),
        ("y ~ x)", "unexpected"),
        ("y ~ x ~ z", "unexpected"),
        ("y ~ 2", "no term"),
        ("y ~ x^99", "power"),
        ("y ~ x + y", "also a predictor"),
        ("y ~ (1 | g):x", "unexpected"),
        ("y ~ x; import os", "unexpected"),
        ("y ~ exp.__class__(x)", "unexpected"),
        ("y ~ eval(x)", "unknown function"),
        ("y ~ I(x.__class__)", "formula"),
        ("y ~ I(__import__('os').system('true'))", "formula"),
        ("y ~ I((lambda: 1)())", "formula"),
        ("y ~ I([v for v in x])", "formula"),
        ("y ~ log(x)(x)", "unexpected"),
        ("y ~ I(x^9^9^9^9)", "formula"),
        ("y ~ " + "(" * 500 + "x" + ")" * 500, "nested too deeply"),
        ("y ~ " + "+".join(f"a{i}" for i in range(900)), "longer than"),
        ("y ~ (a+b+c+d+e+f+g+h+i+j+k+l)^6", "more than"),
    ],
)
def test_refused(text, message):
    with pytest.raises(FormulaError, match=message) as caught:
        formula.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text,hint",
    [
        ("y ~ bdi.pre + (1 | g)", "in backquotes: `bdi.pre`"),
        ("bdi.post ~ x", "in backquotes: `bdi.post`"),
        ("y ~ I(bdi.pre * 2)", "in backquotes: `bdi.pre`"),
        ("y ~ x + 2nd", "in backquotes: `2nd`"),
        ("y ~ rcs(x)", r"splines are bs\(x, df=5\)"),
        ("y ~ bs(x, df=2)", "degree 3 has df=3 or more, not 2"),
        ("y ~ bs(x, df=5, knots=c(1, 2))", "both df and knots"),
        ("y ~ bs(x, knots=c(2, 1))", "knots must increase"),
        ("y ~ ns(x, knots=7, Boundary.knots=c(0, 6))", "lie between lower and upper"),
        ("y ~ ns(x, degree=2)", r"cannot take 'degree'.*write ns\(x, df=3\)"),
        ("y ~ poly(x, z)", "degree= of poly.* must be a number"),
        ("y ~ poly(x, 2.5)", "a whole number from 1 to 30"),
        ("y ~ poly(x, 2, raw=maybe)", "raw= must be TRUE or FALSE"),
        ("y ~ log(bs(x))", r"stands alone, as a term.*write y ~ bs\(x, df=5\)"),
        ("y ~ bs(df=4)", r"bs\(\) begins with a variable in 'bs\(df=4\)'"),
        ("y ~ poly()", r"poly\(\) of which variable"),
        ("y ~ x * offset(z)", "an offset is a summand of its own"),
        ("y ~ offset(z):x", "an offset is a summand of its own"),
        ("y ~ x - offset(z)", "an offset is a summand of its own"),
        ("y ~ offset(z) + offset(z)", "stands twice"),
        ("y ~ tan(x)", "sin and cos"),
        ("y ~ I(x %in% c(1, 2))", r"write x in \[1, 2\]"),
        ("y ~ as.factor(x)", r"write C\(x\)"),
        ("y ~ np.log(x)", r"write log\(x\)"),
        ("y ~ lgo(x)", "did you mean 'log'"),
        ("y ~ mean(x)", r"write I\(mean\(x, by=group\)\)"),
        ("y ~ C(f, Sums)", "unknown coding 'Sums'.*did you mean 'Sum'"),
        ("y ~ C(f, Sum('a'))", r"no coding.*write Treatment"),
        ("y ~ C(f, contr.treatment(base=2))", r"no coding.*write Treatment"),
        ("y ~ Sum(f)", r"write C\(f, Treatment"),
        ("y ~ Intercept + (1 | g)", "cannot be told from the intercept.*another name"),
        ("y ~ x + (1 | Residual)", "cannot be told from the residual"),
        ("y ~ log(x) + `log(x)`", "both a column and a function"),
    ],
)
def test_what_to_write_instead(text, hint):
    with pytest.raises(FormulaError, match=hint) as caught:
        formula.parse(text)
    assert "did you mean 'abs'" not in str(caught.value)


# Grouping factors with their blocks, as lme4's findbars() and expandDoubleVerts() order them.
@pytest.mark.parametrize(
    "text,groups",
    [
        ("(1 | school/class)", {"school": [["Intercept"]], "school:class": [["Intercept"]]}),
        ("(1 | a/b/c)", {name: [["Intercept"]] for name in ("a", "a:b", "a:b:c")}),
        ("(1 | a/b:c)", {name: [["Intercept"]] for name in ("a", "a:b:c")}),
        ("(1 | a:b/c)", {name: [["Intercept"]] for name in ("a:b", "a:b:c")}),
        ("(x | a:b)", {"a:b": [["Intercept", "x"]]}),
        ("(1 | b) + (1 | a)", {"b": [["Intercept"]], "a": [["Intercept"]]}),
        ("(1 | a:b) + (0 + x | b:a)", {"a:b": [["Intercept"], ["x"]]}),
        ("(1 + x || a/b)", {name: [["Intercept"], ["x"]] for name in ("a", "a:b")}),
        (
            "(1 | a) + (1 + x | b) + (0 + x | a)",
            {"a": [["Intercept"], ["x"]], "b": [["Intercept", "x"]]},
        ),
        ("(1 | `my school`/class)", {n: [["Intercept"]] for n in ("my school", "my school:class")}),
    ],
)
def test_grouping_factors(text, groups):
    parsed = formula.parse(f"y ~ x + {text}")
    found = {
        group.name: [[formula.show(t) for t in block.terms] for block in group.blocks]
        for group in parsed.groups
    }
    assert list(found.items()) == list(groups.items())


def test_every_grouping_column_is_a_variable():
    parsed = formula.parse("y ~ class + (1 | school/class) + (1 | area)")
    assert parsed.variables == {"y", "class", "school", "area"}
    assert [group.columns for group in parsed.groups] == [
        ("school",), ("school", "class"), ("area",),
    ]  # fmt: skip
    assert parsed.n_variance_parameters == 4


@pytest.mark.parametrize(
    "text,written",
    [
        ("(1 | a + b)", r"\(1 \| a\) \+ \(1 \| b\)"),
        ("(1 | a * `b c`)", r"\(1 \| a\) \+ \(1 \| `b c`\) \+ \(1 \| a:`b c`\)"),
        ("(1 | a/(b + c))", r"\(1 \| a\) \+ \(1 \| a:b\)"),
        ("(1 | log(a))", "derive a column"),
    ],
)
def test_what_joins_no_factors_is_told_how_to_be_written(text, written):
    with pytest.raises(FormulaError, match=written):
        formula.parse(f"y ~ x + {text}")


def test_names_are_columns_as_they_are_written():
    """Words of Python, letters that it would replace, accents of two characters, ordinals."""
    names = {"class", "µg", "m²", "e\u0301cole", "हिंदी"}
    found = formula.parse(f"y ~ {' + '.join(sorted(names))} + log(µg) + (1 | g)")
    assert found.variables == {*names, "y", "g"}


@pytest.mark.parametrize(
    "text,note",
    [
        ("y ~ x + x^2", "x^2 crosses x with itself, which is x and no power of it: write I(x^2)"),
        ("y ~ x**3", "x^3 crosses x with itself"),
        ("y ~ 1 + (x + x^2 | g)", "write I(x^2)"),
        ("y ~ x:x", "x:x crosses x with itself"),
        ("y ~ x*x", "x*x crosses x with itself"),
        ("y ~ (a:b)^2", "write I((a*b)^2)"),
    ],
)
def test_a_term_crossed_with_itself_is_noted(text, note):
    (found,) = formula.parse(text).notes
    assert note in found


@pytest.mark.parametrize("text", ["y ~ I(x^2)", "y ~ (a + b)^2", "y ~ x^1", "y ~ a*b + a:b"])
def test_crossing_that_is_meant_is_not_noted(text):
    assert not formula.parse(text).notes
