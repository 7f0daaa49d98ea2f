"""The page of the zoo says what its records say, of the models that are in the zoo."""

from __future__ import annotations

from families import MODELS
from page import PAGE, RECORDS, page

from quantizable.records import read_records


def test_the_page_agrees_with_its_records() -> None:
    """Design, Records: a test fails when they disagree; `python tests/zoo/page.py` mends it."""
    assert PAGE.read_text(encoding="utf-8") == page(RECORDS)


def test_every_model_has_a_record() -> None:
    """A model without a row would be missing from the page in silence; `scripts/test --zoo --record` makes them."""
    recorded = {(row["source"], row["model"]) for row in read_records(RECORDS) if row["kind"] == "model"}
    assert [model.name for model in MODELS if (model.source, model.name) not in recorded] == []
