"""The tables: their figures, computed by hand, and their four forms."""

from __future__ import annotations

from html.parser import HTMLParser

from quantizable.report.claim import read_claim
from quantizable.report.claim_tables import tables_of
from quantizable.report.tables import Table, as_data, as_html, as_markdown, as_text

TABLE = Table("t", "What | stands here.", ("mode", "top-1"), (("fp32", "91.40"), ("a|b <c>", "–")))


def _named(folder, name):
    return next(table for table in tables_of(read_claim(folder)) if table.name == name)


def test_a_study_shows_mean_deviation_and_the_number_of_finished_seeds(study):
    """Accuracy: 70, 71, 72 is 71.00 ± 1.00; the unfinished run stays, and does not count."""
    table = _named(study, "accuracy")
    assert table.columns == ("recipe", "weights", "fp32", "w4a4", "w1a1", "seeds")
    assert table.rows == (
        ("hard", "trained", "69.00 ± 0.00", "69.50 ± 0.71", "40.00 ± 1.41", "2 of 3, unfinished"),
        ("shared", "post-training", "–", "60.00 ± 0.00", "–", "3"),
        ("shared", "trained", "71.00 ± 1.00", "70.00 ± 1.00", "40.00 ± 0.00", "3"),
    )


def test_every_seed_is_listed(study):
    """Accuracy rows: every seed, the unfinished one marked with its epochs."""
    rows = _named(study, "seeds").rows
    assert ("shared", "trained", "1", "finished", "71.00", "70.00", "40.00") in rows
    assert ("hard", "trained", "2", "unfinished, 2 of 5 epochs", "–", "–", "–") in rows
    assert len(rows) == 9


def test_the_paired_test_is_against_the_baseline(study):
    """Seeds 0 and 1 are in both: differences 1 and 2 in fp32, none in w4a4, -1 and 1 in w1a1."""
    table = _named(study, "paired")
    assert table.caption.startswith("Against hard")
    assert table.rows == (
        ("shared", "fp32", "+1.50 ± 0.71", "3.00", "0.205", "2", "no difference seen"),
        ("shared", "w4a4", "+0.00 ± 0.00", "0.00", "1.000", "2", "no difference seen"),
        ("shared", "w1a1", "+0.00 ± 1.41", "0.00", "1.000", "2", "no difference seen"),
    )


def test_what_differs_between_recipes_is_listed_and_nothing_else(study):
    """The fairness of a comparison can be read: seeds and names aside, only the teacher differs."""
    assert _named(study, "differences").rows == (("loss.teacher", "–", "next"),)


def test_cost_counts_every_epoch_once(study):
    """12 epochs of 36 s against 15."""
    assert _named(study, "cost").rows == (("hard", "2 of 3", "12", "36.0", "0.12"), ("shared", "3 of 3", "15", "36.0", "0.15"))


def test_a_run_shows_its_modes_by_row(write_run, tmp_path):
    """Trained beside post-training, validation last; a mode without a figure has a dash."""
    folder = write_run(tmp_path, trained={"w2a2": 88.0, "fp32": 91.0}, post={"fp32": 91.5, "w4a4": 80.0})
    table = tables_of(read_claim(folder))[0]
    assert table.columns == ("mode", "post-training", "trained", "top-5", "loss", "validation")
    assert table.rows == (
        ("fp32", "91.50", "91.00", "96.00", "0.500", "90.00"),
        ("w4a4", "80.00", "–", "–", "–", "–"),
        ("w2a2", "–", "88.00", "93.00", "0.500", "87.00"),
    )


def test_an_unfinished_run_has_no_trained_column(write_run, tmp_path):
    """Unfinished rows stay, as unfinished."""
    table = tables_of(read_claim(write_run(tmp_path, trained={"fp32": 91.0}, done=2)))[0]
    assert table.columns == ("mode", "validation")
    assert "unfinished, 2 of 5 epochs" in table.caption


def test_times_are_medians_with_their_spread(benchmark_folder):
    """Times: median of 100 to 104, ratio to the first variant in the same case, and outputs that differ are seen."""
    table = _named(benchmark_folder, "times")
    assert table.columns == ("case", "variant", "median", "spread", "n", "relative to plain", "checksum")
    assert table.rows[0] == ("batch 128", "plain", "102.0", "100.0 to 104.0", "5", "1.00", "aa")
    assert table.rows[1] == ("batch 128", "ours", "52.00", "50.00 to 54.00", "5", "0.51", "aa")
    assert table.rows[3] == ("batch 32", "ours", "14.50", "12.50 to 16.50", "5", "0.54", "2 different")


def test_markdown_has_its_bars_escaped_and_figures_to_the_right():
    """A cell cannot break its row."""
    assert as_markdown(TABLE).split("\n") == [
        "| mode | top-1 |",
        "| --- | ---: |",
        "| fp32 | 91.40 |",
        "| a\\|b <c> | – |",
        "",
        "What | stands here.",
    ]


def test_text_is_aligned():
    """What the command prints."""
    assert as_text(TABLE).split("\n") == ["What | stands here.", "mode     top-1", "fp32     91.40", "a|b <c>      –"]


def test_html_shows_the_same_cells():
    """Escaped once, in order."""

    class Cells(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.text: list[str] = []

        def handle_data(self, data: str) -> None:
            self.text += [data] if data.strip() else []

    cells = Cells()
    cells.feed(as_html(TABLE))
    assert cells.text == ["What | stands here.", "mode", "top-1", "fp32", "91.40", "a|b <c>", "–"]


def test_data_names_each_cell_by_its_column():
    """What `--json` prints."""
    assert as_data(TABLE)["rows"] == [{"mode": "fp32", "top-1": "91.40"}, {"mode": "a|b <c>", "top-1": "–"}]
