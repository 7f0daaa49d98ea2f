"""What all tests share: the hypothesis profile, the folder of real data, and the time that unit and slow tests took."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, so that a change fails for what it changed; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets: QUANTIZABLE_DATA, else ../shared/data beside the repository; skips where there is none."""
    named = os.environ.get("QUANTIZABLE_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}: set QUANTIZABLE_DATA to a folder that holds cifar10/")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many tests of each kind ran and their time, set-up included."""
    seconds = {"unit": 0.0, "slow": 0.0}
    tests: dict[str, set[str]] = {"unit": set(), "slow": set()}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                kind = "slow" if "slow" in report.keywords else "unit"
                seconds[kind] += report.duration
                tests[kind].add(report.nodeid)
    terminalreporter.write_line("; ".join(f"{len(tests[kind])} {kind} tests in {seconds[kind]:.1f} s" for kind in seconds))
