"""The file of references, and what a page shows of an entry."""

from __future__ import annotations

import re

import bibtexparser
import pytest

from mixedflow.prose import references

CITATIONS = references.by_key()


def test_file_is_as_the_library_would_write_it() -> None:
    """What cannot be read, or comes twice, is no entry; a layout that differs would be printed."""
    library = bibtexparser.parse_file(str(references.FILE))
    assert library.failed_blocks == []
    assert len(library.entries) == len(CITATIONS)
    assert {entry.entry_type for entry in library.entries} == {"article", "book"}
    layout = bibtexparser.BibtexFormat()
    layout.indent, layout.trailing_comma, layout.block_separator = "  ", True, "\n"
    written = bibtexparser.write_string(library, bibtex_format=layout)
    assert written == references.FILE.read_text("utf-8")


@pytest.mark.parametrize("key", CITATIONS)
def test_page_shows_characters_and_bibtex_has_latex(key: str) -> None:
    citation = CITATIONS[key]
    article = (citation.journal, citation.volume, citation.pages)
    where = (citation.publisher,) if citation.publisher else article
    shown = (*citation.authors, citation.title, *where)
    assert all(shown)
    assert not [part for part in shown if set(part) & set("\\{}$~\n") or "--" in part]
    if not citation.publisher:
        assert re.fullmatch(r"\d+–\d+", citation.pages)
        assert re.search(r"pages = \{\d+--\d+\},\n", citation.bibtex)
    assert not re.search(r"(?<!\\)[&%]", citation.bibtex)
    surname = citation.authors[0].split(",")[0].split()[-1]  # of van Dishoeck the last
    assert citation.key == key == surname.lower() + str(citation.year)


def test_one_author_two_and_more() -> None:
    assert CITATIONS["johnson2014"].short == "Johnson 2014"
    assert CITATIONS["kenward1997"].short == "Kenward and Roger 1997"
    assert CITATIONS["kuznetsova2017"].short == "Kuznetsova, Brockhoff and Christensen 2017"
    assert CITATIONS["bates2015"].short == "Bates et al. 2015"


def test_references_as_text() -> None:
    assert CITATIONS["bates2015"].text == (
        "Bates, Douglas; Mächler, Martin; Bolker, Ben and Walker, Steve (2015). Fitting linear "
        "mixed-effects models using lme4. Journal of Statistical Software 67(1), 1–48. "
        "doi:10.18637/jss.v067.i01"
    )
    assert CITATIONS["johnson2014"].text == (
        "Johnson, Paul C. D. (2014). Extension of Nakagawa & Schielzeth's R²GLMM to random slopes "
        "models. Methods in Ecology and Evolution 5(9), 944–946. doi:10.1111/2041-210X.12225"
    )
    assert CITATIONS["holm1979"].text == (
        "Holm, Sture (1979). A simple sequentially rejective multiple test procedure. Scandinavian "
        "Journal of Statistics 6(2), 65–70."
    )


def test_references_as_bibtex() -> None:
    assert CITATIONS["snijders1994"].bibtex == (
        "@article{snijders1994,\n"
        "  author = {Snijders, Tom A. B. and Bosker, Roel J.},\n"
        "  year = {1994},\n"
        "  title = {{Modeled variance in two-level models}},\n"
        "  journal = {Sociological Methods \\& Research},\n"
        "  volume = {22(3)},\n"
        "  pages = {342--363},\n"
        "  doi = {10.1177/0049124194022003004},\n"
        "}"
    )
    assert CITATIONS["bates2015"].bibtex.startswith(
        "@article{bates2015,\n"
        "  author = {Bates, Douglas and Mächler, Martin and Bolker, Ben and Walker, Steve},\n"
    )
    assert "R²GLMM" in CITATIONS["johnson2014"].bibtex
    assert "doi" not in CITATIONS["holm1979"].bibtex
