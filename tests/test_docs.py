"""Pages that show Python sessions show what happens."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = [path.name for path in sorted((REPOSITORY / "docs").glob("*.md")) if ">>> " in path.read_text()]


def test_there_is_a_page_with_a_session():
    """The test below has something to run."""
    assert "arithmetic.md" in PAGES


@pytest.mark.parametrize("page", PAGES)
def test_the_sessions_of_a_page_print_what_it_says(page):
    """Promise: examples run."""
    failed, tried = doctest.testfile(str(REPOSITORY / "docs" / page), module_relative=False)
    assert tried > 0
    assert failed == 0
