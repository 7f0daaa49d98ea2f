"""The written report: whole files, nothing from elsewhere, the same bytes from the same records."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from quantizable.errors import RecordError
from quantizable.records import append_record
from quantizable.report import write_report

TOP1 = {"fp32": 91.0, "w2a2": 88.0}
VOID = {"meta", "br", "img", "hr", "link", "input"}


class _Page(HTMLParser):
    """Collects what a page loads, and fails on a tag closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.open += [] if tag in VOID else [tag]
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.loads += [tag] if tag in ("script", "link", "iframe", "object") else []
        self.loads += [value for name, value in attrs if name in ("src", "href", "xlink:href") and not value.startswith(("#", "data:"))]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _check_page(html):
    page = _Page()
    page.feed(html)
    assert page.open == []
    assert page.loads == []
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"@import|url\((?!#)", html)
    assert 'name="viewport"' in html
    assert "@media print" in html
    assert "prefers-color-scheme: dark" in html
    for number, svg in enumerate(re.findall(r"<svg.*?</svg>", html, re.DOTALL), start=1):
        assert ElementTree.fromstring(svg).attrib["aria-label"], number


def test_a_run_is_written_with_its_plots(write_run, tmp_path):
    """Promise of write_report: README, page, accuracy and curves, and no temporary file left."""
    write_run(tmp_path, trained=TOP1, post={"fp32": 91.0, "w2a2": 20.0})
    files = write_report(tmp_path)
    assert [path.name for path in files.pictures] == ["accuracy.png", "curves.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files.pictures)
    _check_page(files.page.read_text())
    readme = files.readme.read_text()
    assert "quantizable train recipes/x.toml" in readme
    assert "| w2a2 | 20.00 | 88.00 |" in readme
    assert all(f'src="{path.name}"' in readme for path in files.pictures)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "accuracy.png", "curves.png", "records.jsonl", "report.html"]


def test_a_study_is_written_with_its_own_words(study):
    """Promise: title and claim from the records, unfinished runs named, a page that stands alone."""
    files = write_report(study)
    assert [path.name for path in files.pictures] == ["accuracy.png", "curves.png", "cost.png"]
    _check_page(files.page.read_text())
    readme = files.readme.read_text()
    assert readme.startswith("# A study\n\nShared is higher.\n")
    assert "- hard, seed 2: unfinished, 2 of 5 epochs." in readme


def test_recipes_of_one_mode_each_are_one_line(write_run, tmp_path):
    """Shared against dedicated: the picture names the dedicated networks once; three recipes also get a panel a mode."""
    write_run(tmp_path / "shared" / "seed0", trained=TOP1)
    write_run(tmp_path / "fp32-alone" / "seed0", trained={"fp32": 91.5})
    write_run(tmp_path / "w2a2-alone" / "seed0", trained={"w2a2": 88.5})
    files = write_report(tmp_path)
    assert [path.name for path in files.pictures] == ["accuracy.png", "recipes.png", "curves.png", "cost.png"]
    assert "one network a mode: fp32 91.50, w2a2 88.50" in files.page.read_text()


def test_a_benchmark_is_written(benchmark_folder):
    """Promise: times, and a note where repetitions disagree."""
    files = write_report(benchmark_folder)
    assert [path.name for path in files.pictures] == ["times.png"]
    _check_page(files.page.read_text())
    assert "Repetitions of batch 32 ours did not give the same output." in files.readme.read_text()


def test_a_run_that_has_only_begun_is_written(tmp_path):
    """Unfinished rows stay: no epoch yet, no plot yet, no crash."""
    append_record(tmp_path, {"kind": "run", "seed": 0, "name": "x"})
    files = write_report(tmp_path)
    assert files.pictures == ()
    assert "unfinished, 0 of ? epochs" in files.readme.read_text()
    _check_page(files.page.read_text())


def test_the_same_records_give_the_same_bytes(study):
    """Promise: a report changes only with its records."""
    first = {path: path.read_bytes() for path in (write_report(study).readme, *study.glob("*.png"), study / "report.html")}
    write_report(study)
    assert len(first) == 5
    assert {path: path.read_bytes() for path in first} == first


def test_text_from_records_is_escaped(write_run, tmp_path):
    """A name is not markup."""
    write_run(tmp_path, name="<b>&", trained=TOP1)
    html = write_report(tmp_path).page.read_text()
    assert "<h1>&lt;b&gt;&amp;</h1>" in html
    _check_page(html)


def test_without_matplotlib_the_tables_are_written_and_one_line_says_what_to_install(write_run, tmp_path, monkeypatch):
    """Promise: plots missing is said, not hidden."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    files = write_report(write_run(tmp_path, trained=TOP1))
    assert files.advice == "no plots: matplotlib is not installed; type: pip install 'quantizable[report]'"
    assert files.pictures == ()
    assert "<img" not in files.readme.read_text()
    assert "| w2a2 | 88.00 |" in files.readme.read_text()


def test_a_folder_that_cannot_be_written_is_an_error(write_run, tmp_path):
    """Errors of write_report: which file."""
    write_run(tmp_path, trained=TOP1)
    (tmp_path / "README.md").mkdir()
    (tmp_path / "README.md" / "in the way").touch()
    with pytest.raises(RecordError, match=r"README\.md: cannot be written"):
        write_report(tmp_path)
    assert not list(tmp_path.glob(".*"))
