"""Tables inside other pages: filled from records, and checked against them."""

from __future__ import annotations

import pytest

from quantizable.errors import RecordError
from quantizable.report import check_tables, fill_tables

TOP1 = {"fp32": 91.0, "w2a2": 88.0}
OPEN, CLOSE = "<!-- table: results/digits -->", "<!-- /table -->"


@pytest.fixture
def project(tmp_path, write_run):
    """A folder with records and a page that calls for them, not yet filled."""
    write_run(tmp_path / "results" / "digits", trained=TOP1)
    (tmp_path / "README.md").write_text(f"# Title\n{OPEN}\nold\n{CLOSE}\nEnd.\n")
    return tmp_path


def test_a_filled_page_agrees_with_its_records(project):
    """Promise of fill_tables and check_tables: only the block changes, and filling again changes nothing."""
    page = project / "README.md"
    assert fill_tables(page) == 1
    assert check_tables(page) == []
    text = page.read_text()
    assert text.startswith(f"# Title\n{OPEN}\n\n| mode | trained |")
    assert text.endswith(f"[Record](results/digits/README.md).\n\n{CLOSE}\nEnd.\n")
    assert fill_tables(page) == 1
    assert page.read_text() == text


def test_a_changed_figure_is_found(project):
    """The test of figures in README: a digit that differs from its record fails, and says what to run."""
    page = project / "README.md"
    fill_tables(page)
    page.write_text(page.read_text().replace("88.00", "89.00"))
    (line,) = check_tables(page)
    assert "README.md:2: table of results/digits disagrees with its records" in line
    assert "quantizable report results/digits --fill README.md" in line


def test_pages_in_folders_and_tables_by_name(project):
    """The folder is searched upwards, the link leads back to it; #name picks a table."""
    (project / "docs").mkdir()
    page = project / "docs" / "results.md"
    page.write_text(f"<!-- table: results/digits#cost -->\n{CLOSE}\n")
    assert fill_tables(page) == 1
    assert "seconds an epoch" in page.read_text()
    assert "[Record](../results/digits/README.md)" in page.read_text()


def test_marks_inside_code_stand_for_themselves(project):
    """A page may explain the marks."""
    page = project / "README.md"
    page.write_text(f"```\n{OPEN}\n```\n")
    assert fill_tables(page) == 0
    assert check_tables(page) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- table: results/none -->\n<!-- /table -->", "no folder results/none here or above"),
        ("<!-- table: results/digits#times -->\n<!-- /table -->", "results/digits has no table 'times'; name one of accuracy, cost"),
    ],
)
def test_a_block_that_cannot_be_made_is_an_error(text, words, project):
    """Errors: fill_tables raises and leaves the page; check_tables lists it."""
    page = project / "README.md"
    page.write_text(text)
    with pytest.raises(RecordError, match=rf"README\.md:1: .*{words}"):
        fill_tables(page)
    assert page.read_text() == text
    assert words in check_tables(page)[0]


@pytest.mark.parametrize("text", [f"{OPEN}\n", f"{OPEN}\n{OPEN}\n{CLOSE}\n"])
def test_a_block_without_end_is_an_error(text, project):
    """Nothing is guessed about where a block ends."""
    (project / "README.md").write_text(text)
    for function in (fill_tables, check_tables):
        with pytest.raises(RecordError, match=r"README\.md:1: table of results/digits has no end"):
            function(project / "README.md")


def test_a_page_that_is_not_there_is_an_error(tmp_path):
    """Errors: which page."""
    with pytest.raises(RecordError, match=r"nowhere\.md: not a page that can be read"):
        check_tables(tmp_path / "nowhere.md")
