"""One run after the other in this process, with all its cores."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from quantizable.study.agenda import Agenda
from quantizable.study.grid import PlannedRun
from quantizable.study.work import carry_out

_POLL_SECONDS = 5.0  # between two looks at a start that another process works on


def run_here(agenda: Agenda, *, say: Callable[[str], None] | None = None) -> None:
    """Carry out what the agenda hands out until nothing is left; outcomes are in the agenda."""
    tell = say or (lambda text: print(text, file=sys.stderr, flush=True))
    told = ""
    while agenda.left:
        run = agenda.take()
        if run is None:
            waits = agenda.waits_for()
            if waits is not None:
                if waits != told:
                    tell(f"waiting for {waits}")
                told = waits
                time.sleep(_POLL_SECONDS)
            continue
        tell(_heading(run, agenda))
        outcome = carry_out(run)
        agenda.settle(run.key, outcome)
        if outcome.kind in ("failed", "elsewhere"):
            tell(f"{run.key}: " + (outcome.error if outcome.kind == "failed" else "another process works on it, left to it"))


def _heading(run: PlannedRun, agenda: Agenda) -> str:
    n_left = len(agenda.left)
    return f"{run.key} ({len(agenda.runs) - n_left} of {len(agenda.runs)}, {n_left} left)"
