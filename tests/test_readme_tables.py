"""Figures in README and docs are those of their records."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantizable.report import check_tables

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_table_of_a_page_agrees_with_its_records(page):
    """Design, Records: a test fails when they disagree; `quantizable report FOLDER --fill PAGE` mends it."""
    assert check_tables(page) == []
