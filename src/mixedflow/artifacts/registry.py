"""Every artifact of an analysis: its name, what it is, where it stands, which rule makes it.

The one list of names. Rules take their outputs from it, readers of tables their columns of labels,
the report its order; the words are in :mod:`mixedflow.prose.captions`, by name. What a new artifact
needs: an entry here, a caption, and the function that computes it. Jobs that prepare or fit import
none of this, so that another figure fits nothing anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# Formats. A table is a CSV, of which most have an HTML twin and some are printed as LaTeX.
TABLE, FIGURE, PAGE = "table", "figure", "page"
JSON, NPZ, PARQUET, TEXT = "json", "npz", "parquet", "text"
DOCX, XLSX = "docx", "xlsx"
_SUFFIX = {TABLE: "csv", FIGURE: "svg", PAGE: "html", TEXT: "txt"}
_PRINTS = "publish"  # the rule that makes all LaTeX


@dataclass(frozen=True)
class Stage:
    """Where artifacts stand, and what one job makes them of.

    ``folder`` is below the results, wildcards in braces, and ``figures`` a folder in it. ``unit``
    is the wildcard that a job is about, empty if it makes those of the whole analysis.
    ``category`` is that of Snakemake's own report.
    """

    folder: str
    unit: str = ""
    category: str = ""
    figures: str = ""


DATA = Stage("datasets/{dataset}", "dataset", "Data")
CHUNKS = Stage("datasets/{dataset}/.chunks", "dataset")
EXPLORE = Stage("datasets/{dataset}/explore", "dataset", "Explore")
MODEL = Stage("models/{model}", "model", "Models", figures="figures")
MODEL_DRAWS = Stage("models/{model}/.bootstrap", "model")
SIDE_BY_SIDE = Stage("datasets/{dataset}", category="Comparisons")
COMPARISON = Stage("", category="Comparisons")
COMPARISON_DRAWS = Stage(".bootstrap/{comparison}", "comparison")
MEMBER = Stage("families/{family}/members/{member}")
FAMILY = Stage("families/{family}", "family", "Families")
STRUCTURES = Stage("structures/{structures}", "structures", "Comparisons")
RANKING = Stage("models/{model}", "model", "Rankings", figures="figures")
MOVES = Stage("datasets/{dataset}", "dataset", "Rankings")
REPORT = Stage("", category="Report")
APPENDIX = Stage("appendix")  # pages behind the report, which alone links to them

# What a data set or model may lack (``Artifact.needs``).
TIME = "time"  # a column that orders the rows of a cluster
TREND = "trend"  # and a formula of it, to look at what it leaves over
VISITS = "visits"  # and planned visits, to correlate that from visit to visit
ROWS = "rows"  # all of them at once, not in chunks
BOOTSTRAP = "bootstrap"
MEANS = "means"  # marginal means that the configuration asks for
AGREEMENT = "agreement"  # and a list of working correlations for GEE
COURSE = "course"  # a residual structure, and a time over which it can be looked at
EFFECTS = "effects"  # random ones, which a marginal model has not
FACTORS = "factors"  # a model with several grouping factors
SLOPE = "slope"  # a random one, with which an order depends on the covariate
# Lists of structures, families, comparisons: of an analysis.
STRUCTURED, FAMILIAR, COMPARED = "structured", "familiar", "compared"

# Parts of the report that show all of theirs, in the order of ARTIFACTS.
EXPLORATION, PICTURES, DIAGNOSTICS = "exploration", "pictures", "diagnostics"
FURTHER = "further"  # links to tables of a model
ORDER, MOVED = "order", "moved"  # of clusters, and between models


@dataclass(frozen=True)
class Artifact:
    """A table, figure, page or file for programs; a table and its figure may share a name.

    Parameters
    ----------
    rules
        The rules that can make it, by the name of their jobs' records. Variants of a rule that
        only differ in ``needs`` (``fit_chunked``) are that rule.
    needs
        What the data set or model must have.
    columns
        Of a table: names between blanks, ``:text`` after those that hold labels. A name with * or ?
        stands for as many as there are, which may be none.
    twin
        Of a table: the rule that makes its page, the first of ``rules`` by default; empty without.
    published
        Whether it is printed as LaTeX too.
    section
        The part of the report that shows it with its like; empty if it has a place of its own there
        or none.
    """

    name: str
    stage: Stage
    format: str
    rules: tuple[str, ...]
    needs: tuple[str, ...] = ()
    columns: str = ""
    twin: str | None = None
    published: bool = False
    section: str = ""

    @property
    def header(self) -> tuple[str, ...]:
        """The columns' names or patterns, in order."""
        return tuple(column.removesuffix(":text") for column in self.columns.split())

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns that hold text."""
        return tuple(c[:-5] for c in self.columns.split() if c.endswith(":text"))

    @property
    def files(self) -> tuple[File, ...]:
        found = [File(self, _SUFFIX.get(self.format, self.format), self.rules)]
        if self.format == TABLE and self.twin != "":
            found.append(File(self, "html", (self.twin or self.rules[0],)))
        if self.published:
            found.append(File(self, "tex", (_PRINTS,)))
        return tuple(found)


class File(NamedTuple):
    """A file of an artifact and the rules that can make it."""

    artifact: Artifact
    suffix: str
    rules: tuple[str, ...]

    @property
    def key(self) -> str:
        """What rules and scripts call it: ``fit_json``."""
        return f"{self.artifact.name}_{self.suffix}"

    @property
    def reported(self) -> bool:
        """Whether Snakemake's own report shows it, with its caption."""
        return self.suffix in ("html", "svg") and self.artifact.stage is not APPENDIX

    @property
    def place(self) -> str:
        """Where it stands in the folder of its stage."""
        inner = self.artifact.stage.figures if self.suffix == "svg" else ""
        return "/".join(filter(None, (inner, f"{self.artifact.name}.{self.suffix}")))

    @property
    def path(self) -> str:
        """Where it stands below the results, wildcards in braces."""
        return "/".join(filter(None, (self.artifact.stage.folder, self.place)))


# Tables of a model, and of each member of a family.
_FIXED = "term:text estimate std_error statistic df p_value conf_low conf_high"
_LEVELS = (
    "means:text quantity:text factor1:text level1:text factor2:text level2:text factor3:text "
    "level3:text"
)
_COMPONENTS = "group:text term1:text term2:text scale:text estimate std_error conf_low conf_high"
_EFFECTS = (
    "group:text cluster:text n term:text estimate se_conditional se_comparative se_diagnostic ols "
    "ols_se reliability total"
)

# In the order in which people meet them.
ARTIFACTS = (
    Artifact("data", DATA, PARQUET, ("prepare", "gather")),
    Artifact("data_card", DATA, JSON, ("prepare", "gather")),
    Artifact("data_card", DATA, PAGE, ("card",)),
    Artifact("{file}-{part}", CHUNKS, NPZ, ("reduce",)),
    # Before any model.
    Artifact("nesting", EXPLORE, FIGURE, ("levels",), (FACTORS,), section=EXPLORATION),
    Artifact(
        "levels", EXPLORE, TABLE, ("levels",), (FACTORS,), section=EXPLORATION,
        columns="group:text within:text n mean sd min max per_cluster_mean per_cluster_min "
        "per_cluster_max",
    ),
    Artifact(
        "crossings", EXPLORE, TABLE, ("levels",), (FACTORS,), section=EXPLORATION,
        columns="group:text crossed_with:text cells possible rows_mean rows_min rows_max moved "
        "moved_other parts largest_part",
    ),
    Artifact("cluster_sizes", EXPLORE, FIGURE, ("explore",), section=EXPLORATION),
    Artifact("cluster_sizes", EXPLORE, TABLE, ("explore",), columns="n mean sd min max"),
    Artifact("clusters", EXPLORE, TABLE, ("explore",), columns="cluster:text n mean sd"),
    Artifact("trajectories", EXPLORE, FIGURE, ("explore",), (TIME,), section=EXPLORATION),
    Artifact("examples", EXPLORE, FIGURE, ("explore",), section=EXPLORATION),
    Artifact("cluster_lines", EXPLORE, FIGURE, ("explore",), section=EXPLORATION),
    Artifact(
        "cluster_lines", EXPLORE, TABLE, ("explore",),
        columns="cluster:text n intercept slope x_low x_high used",
    ),
    Artifact("intercepts_slopes", EXPLORE, FIGURE, ("explore",), section=EXPLORATION),
    Artifact("residuals_over_time", EXPLORE, FIGURE, ("explore",), (TREND,), section=EXPLORATION),
    Artifact("residual_scatter", EXPLORE, FIGURE, ("explore",), (VISITS,), section=EXPLORATION),
    Artifact("residual_acf", EXPLORE, FIGURE, ("explore",), (VISITS,), section=EXPLORATION),
    Artifact(
        "residual_correlation", EXPLORE, TABLE, ("explore",), (VISITS,),
        columns="visit:text *",  # a visit each
        section=EXPLORATION,
    ),
    Artifact(
        "residual_acf", EXPLORE, TABLE, ("explore",), (VISITS,),
        columns="lag correlation pairs", section=EXPLORATION,
    ),
    Artifact(
        "residuals_over_time", EXPLORE, TABLE, ("explore",), (TREND,),
        columns="quantity:text visits:text low high at n estimate",
    ),
    # Of each model.
    Artifact("products", MODEL, NPZ, ("add",)),
    Artifact("{first}-{last}", MODEL_DRAWS, NPZ, ("bootstrap",)),
    Artifact("fit", MODEL, JSON, ("fit",)),
    Artifact("fixed_effects", MODEL, TABLE, ("fit",), (), _FIXED, "draw", published=True),
    Artifact(
        "variance_components", MODEL, TABLE, ("fit",), (), _COMPONENTS, "draw", published=True
    ),
    Artifact(
        "contrasts", MODEL, TABLE, ("fit",), twin="draw",
        columns="contrast:text expression:text estimate std_error statistic df_num df p_value "
        "conf_low conf_high",
    ),
    Artifact("marginal_means", MODEL, FIGURE, ("means",), (MEANS,), section=PICTURES),
    Artifact(
        "marginal_means", MODEL, TABLE, ("means",), (MEANS,), section=FURTHER,
        columns=f"{_LEVELS} estimate std_error statistic df p_value conf_low conf_high "
        "averaged:text held:text",
    ),
    Artifact(
        "marginal_means_pairs", MODEL, TABLE, ("means",), (MEANS,), section=FURTHER,
        columns="means:text quantity:text within:text first:text second:text estimate std_error "
        "statistic df p_value p_adjusted adjust:text conf_low conf_high",
    ),
    Artifact(
        "agreement", MODEL, TABLE, ("agreement",), (AGREEMENT,), section=FURTHER,
        columns="method:text term:text estimate std_error robust_error apart ratio robust_ratio "
        "correlation failure:text",
    ),
    Artifact(
        "term_tests", MODEL, TABLE, ("fit",), twin="draw", section=FURTHER,
        columns="term:text test:text statistic df_num df p_value",
    ),
    Artifact(
        "fixed_correlations", MODEL, TABLE, ("fit",), twin="draw", section=FURTHER,
        columns="term1:text term2:text covariance correlation",
    ),
    Artifact("means", MODEL, FIGURE, ("draw",), section=PICTURES),
    Artifact("variance", MODEL, FIGURE, ("draw",), section=PICTURES),
    Artifact("shrinkage", MODEL, FIGURE, ("draw",), (EFFECTS,), section=PICTURES),
    Artifact("fitted_lines", MODEL, FIGURE, ("draw",), (EFFECTS,), section=PICTURES),
    Artifact("residual_qq", MODEL, FIGURE, ("draw",), section=DIAGNOSTICS),
    Artifact("residuals_fitted", MODEL, FIGURE, ("draw",), section=DIAGNOSTICS),
    Artifact(
        "residual_structure", MODEL, FIGURE, ("residual_structure",), (COURSE,), section=DIAGNOSTICS
    ),
    Artifact(
        "residual_structure", MODEL, TABLE, ("residual_structure",), (COURSE,), section=FURTHER,
        columns="quantity:text visits:text low high at n empirical implied",
    ),
    Artifact(
        "normalised_acf", MODEL, FIGURE, ("residual_structure",), (COURSE,), section=DIAGNOSTICS
    ),
    Artifact(
        "normalised_acf", MODEL, TABLE, ("residual_structure",), (COURSE,), section=FURTHER,
        columns="lag pairs before after limit",
    ),
    Artifact("effects_qq", MODEL, FIGURE, ("draw",), (EFFECTS,), section=DIAGNOSTICS),
    Artifact("influence", MODEL, FIGURE, ("draw",), (ROWS,), section=DIAGNOSTICS),
    Artifact(
        "checks", MODEL, TABLE, ("draw",), section=FURTHER,
        columns="check:text group:text term:text worst:text n value limit p_value skewness "
        "departs:text",
    ),
    Artifact(
        "cluster_effects", MODEL, TABLE, ("fit",), (EFFECTS,), _EFFECTS, "draw", section=FURTHER
    ),
    Artifact(
        "predictions", MODEL, TABLE, ("fit",), twin="draw", section=FURTHER,
        columns="row cluster:text cluster_*:text x by:text observed population population_low "
        "population_high conditional residual standardised quantile",
    ),
    Artifact(
        "curves", MODEL, TABLE, ("fit",), twin="draw", section=FURTHER,
        columns="group*:text level:text by:text cluster:text x estimate conf_low conf_high",
    ),
    Artifact(
        "variance_function", MODEL, TABLE, ("fit",), twin="draw", section=FURTHER,
        columns="x between between_* residual total total_low total_high vpc vpc_low vpc_high",
    ),
    Artifact(
        "alternatives", MODEL, TABLE, ("fit",), twin="draw", section=FURTHER,
        columns="term:text method:text estimate std_error statistic p_value conf_low conf_high",
    ),
    Artifact(
        "effects_diagnostic", MODEL, TABLE, ("fit",), (EFFECTS,), twin="draw", section=FURTHER,
        columns="group:text cluster:text n term:text estimate se_diagnostic standardised quantile "
        "distance df p_value",
    ),
    Artifact(
        "influence", MODEL, TABLE, ("fit",), (ROWS,), twin="draw", section=FURTHER,
        columns="group:text cluster:text n cooks_distance covratio dfbeta_* log_sd_* log_sigma",
    ),
    Artifact(
        "bootstrap", MODEL, TABLE, ("fit",), (BOOTSTRAP,), twin="draw", section=FURTHER,
        columns="group:text term1:text term2:text scale:text estimate draws bias std_error "
        "percentile_low percentile_high basic_low basic_high",
    ),
    Artifact("posterior", MODEL, NPZ, ("fit",), (EFFECTS,)),
    # Of models together.
    Artifact("models", SIDE_BY_SIDE, PAGE, (_PRINTS,), published=True),
    Artifact("{first}-{last}", COMPARISON_DRAWS, NPZ, ("bootstrap_test",)),
    Artifact(
        "comparisons", COMPARISON, TABLE, ("compare",), published=True,
        columns="comparison:text null:text alternative:text statistic df p_value distribution:text "
        "p_bootstrap draws log_likelihood_null log_likelihood_alternative aic_null aic_alternative "
        "method:text n_obs warning:text question:text",
    ),
    Artifact("structures_course", STRUCTURES, FIGURE, ("structures",), (TIME,)),
    Artifact(
        "structures", STRUCTURES, TABLE, ("structures",), published=True,
        columns="structure:text description:text n_obs n_parameters log_likelihood aic bic aicc "
        "delta_aic against:text statistic df p_value distribution:text effect:text estimate "
        "std_error effect_df conf_low conf_high converged:text singular:text caution:text "
        "failure:text",
    ),
    Artifact(
        "structures_course", STRUCTURES, TABLE, ("structures",), (TIME,),
        columns="structure:text quantity:text visits:text low high at n estimate",
    ),
    # Of families: each member's own, then what all of them say.
    Artifact("fit", MEMBER, JSON, ("family_batch",)),
    Artifact("failure", MEMBER, TEXT, ("family_batch",)),
    Artifact("fixed_effects", MEMBER, TABLE, ("family_batch",), (), _FIXED, ""),
    Artifact("variance_components", MEMBER, TABLE, ("family_batch",), (), _COMPONENTS, ""),
    Artifact("cluster_effects", MEMBER, TABLE, ("family_batch",), (), _EFFECTS, ""),
    Artifact("family", FAMILY, FIGURE, ("family",)),
    Artifact(
        "family", FAMILY, TABLE, ("family",),
        # After the member what sets it apart: data set, file, placeholders, subset.
        columns="member:text * term:text n_obs n_groups n_groups_* estimate std_error statistic df "
        "p_value p_adjusted conf_low conf_high sd_between sd_between_* sd_residual icc "
        "converged:text singular:text failure:text caution:text",
    ),
    # Of clusters in order.
    Artifact(
        "ranking", RANKING, TABLE, ("rank",), published=True,
        columns="cluster:text n estimate conf_low conf_high rank expected_rank percentile rank_low "
        "rank_high p_top p_bottom rank_set_low rank_set_high rank_set_low_marginal "
        "rank_set_high_marginal overlap_low overlap_high simultaneous_low simultaneous_high "
        "surely:text selected:text reliability band:text",
    ),
    Artifact("ranking", RANKING, JSON, ("rank",)),
    Artifact("caterpillar", RANKING, FIGURE, ("rank",), section=ORDER),
    Artifact("funnel", RANKING, FIGURE, ("rank",), section=ORDER),
    Artifact(
        "funnel", RANKING, TABLE, ("rank",), section=ORDER,
        columns="cluster:text n effective_n estimate std_error z low_95 high_95 low_998 high_998 "
        "band:text z_over low_95_over high_95_over low_998_over high_998_over band_over:text",
    ),
    Artifact("rank_intervals", RANKING, FIGURE, ("rank",), section=ORDER),
    Artifact("league", RANKING, FIGURE, ("rank",), section=ORDER),
    Artifact("pairs", RANKING, FIGURE, ("rank",), section=ORDER),
    Artifact("ranking_summary", RANKING, FIGURE, ("rank",), section=ORDER),
    Artifact("rankings", RANKING, FIGURE, ("rank",), (SLOPE,), section=ORDER),
    Artifact("ranking_order", RANKING, FIGURE, ("rank",), (SLOPE,), section=ORDER),
    Artifact(
        "rankings", RANKING, TABLE, ("rank",), (SLOPE,), section=ORDER,
        columns="ranking:text cluster:text estimate conf_low conf_high rank expected_rank rank_low "
        "rank_high p_top",
    ),
    Artifact(
        "ranking_order", RANKING, TABLE, ("rank",), (SLOPE,), section=ORDER,
        columns="predictor:text x cluster:text estimate rank",
    ),
    Artifact(
        "ranking_pairs", RANKING, TABLE, ("rank",), section=ORDER,
        columns="first:text second:text difference std_error p_first_better own_difference "
        "own_statistic separable:text",
    ),
    Artifact(
        "ranking_probabilities", RANKING, TABLE, ("rank",),
        columns="cluster:text [1-9]*",  # a rank each, or a range of them
    ),
    Artifact(
        "ranking_sensitivity", RANKING, TABLE, ("rank",), section=ORDER,
        columns="cluster:text rank expected_rank rank_low rank_high p_top expected_rank_uncertain "
        "rank_low_uncertain rank_high_uncertain p_top_uncertain rank_own",
    ),
    Artifact(
        "ranking_swaps", RANKING, TABLE, ("rank",), (SLOPE,), section=ORDER,
        columns="first:text second:text predictor:text crossing difference_low difference_high "
        "p_swap",
    ),
    Artifact("rank_moves", MOVES, FIGURE, ("moves",), section=MOVED),
    Artifact(
        "rank_moves", MOVES, TABLE, ("moves",), section=MOVED,
        columns="cluster:text n raw_mean rank?* largest_move",  # the blank of "rank MODEL" is the ?
    ),
    Artifact(
        "rank_agreement", MOVES, TABLE, ("moves",), section=MOVED,
        columns="order1:text order2:text rank_correlation pairs_that_swap largest_move",
    ),
    Artifact("rank_moves", MOVES, JSON, ("moves",)),
    # Of everything.
    Artifact("report", REPORT, PAGE, ("report",)),
    Artifact("report", REPORT, DOCX, ("word",)),
    Artifact("tables", REPORT, XLSX, ("workbook",)),
    Artifact("model-{model}", APPENDIX, PAGE, ("report",)),
    Artifact("data-{dataset}", APPENDIX, PAGE, ("report",)),
    Artifact("comparisons", APPENDIX, PAGE, ("report",), (COMPARED,)),
    Artifact("structures", APPENDIX, PAGE, ("report",), (STRUCTURED,)),
    Artifact("families", APPENDIX, PAGE, ("report",), (FAMILIAR,)),
    Artifact("methods", APPENDIX, PAGE, ("report",)),
    Artifact("glossary", APPENDIX, PAGE, ("report",)),
    Artifact("manifest", REPORT, JSON, ("manifest",)),
)  # fmt: skip


def made_by(rule: str, *has: str) -> tuple[File, ...]:
    """The files that a rule makes for a data set or model that has all of these."""
    return tuple(
        file
        for artifact in ARTIFACTS
        if set(artifact.needs) <= set(has)
        for file in artifact.files
        if rule in file.rules
    )


def section(name: str, *formats: str) -> tuple[Artifact, ...]:
    """What a part of the report shows, or what it shows of some formats."""
    return tuple(a for a in ARTIFACTS if a.section == name and (a.format in formats or not formats))


def published(stage: Stage) -> tuple[Artifact, ...]:
    """What is printed of a stage."""
    return tuple(a for a in ARTIFACTS if a.published and a.stage is stage)


def labels() -> frozenset[str]:
    """The columns that hold text, in whichever table; what one table numbers none other names."""
    return frozenset(label for artifact in ARTIFACTS for label in artifact.labels)
