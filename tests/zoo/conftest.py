"""torchvision beside a CPU torch, and the table of the zoo: printed after the tests, kept with ``scripts/test --zoo --record``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module, metadata, util
from pathlib import Path

import pytest
import torch

from quantizable.records import append_record, provenance

ROWS = pytest.StashKey[list[dict[str, object]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--record``."""
    parser.addoption("--record", action="store_true", help="append a row per model to results/zoo, and write docs/zoo.md anew")


def pytest_configure(config: pytest.Config) -> None:
    """Load torchvision before any test does."""
    config.stash[ROWS] = []
    if util.find_spec("torchvision") is not None:
        _load_torchvision()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests here, and skip them where the models are not installed."""
    missing = [package for package in ("torchvision", "timm") if util.find_spec(package) is None]
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("zoo")
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"{' and '.join(missing)} not installed: scripts/test --zoo"))


@pytest.fixture(scope="module")  # its end writes the page, before test_page.py reads it
def keep(request: pytest.FixtureRequest) -> Iterator[Callable[[Mapping[str, object]], None]]:
    """Take the row of one model: for the table at the end, and for the records where they are asked for."""
    is_recording = request.config.getoption("--record", default=False)
    if is_recording:
        versions = {package: metadata.version(package) for package in ("torchvision", "timm")}
        from page import PAGE, RECORDS, write_page

        append_record(RECORDS, {"kind": "zoo", **provenance(), "zoo_versions": versions})

    def take(row: Mapping[str, object]) -> None:
        request.config.stash[ROWS].append(dict(row))
        if is_recording:
            append_record(RECORDS, row)

    yield take
    if is_recording:
        write_page(RECORDS, PAGE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what became of each model that ran."""
    rows = config.stash[ROWS]
    if rows:
        from page import summary, text_table

        terminalreporter.section("the zoo")
        terminalreporter.write_line(text_table(rows))
        terminalreporter.write_line(summary(rows))


def _load_torchvision() -> None:
    """Import torchvision; its compiled part does not load beside another build of torch, and its models need two names of it."""
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_module("torchvision")
