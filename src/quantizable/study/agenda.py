"""Which run is next: the first whose start is complete, until all are done, failed, or left to others."""

from __future__ import annotations

from collections.abc import Sequence

from quantizable.study.grid import PlannedRun
from quantizable.study.lock import holder
from quantizable.study.progress import check_folder, state_of
from quantizable.study.work import Outcome

_LACK = {"failed": "failed", "blocked": "cannot begin"}


class Agenda:
    """Hands out runs and takes their outcomes; several may be out at once.

    Raises:
        RecipeError: a folder holds another recipe's run; before anything starts.
    """

    def __init__(self, runs: Sequence[PlannedRun]) -> None:
        self.runs = {run.key: run for run in runs}
        self.outcomes: dict[str, Outcome] = {}
        self._out: set[str] = set()
        for run in runs:
            check_folder(run)
            if state_of(run).kind == "done":
                self.outcomes[run.key] = Outcome("skipped")

    @property
    def left(self) -> tuple[str, ...]:
        """The keys of runs that are neither handed out nor settled."""
        return tuple(key for key in self.runs if key not in self.outcomes and key not in self._out)

    def take(self) -> PlannedRun | None:
        """Return the next run that can begin now, or None: nothing is left, or what is left waits for a start."""
        for key in self.left:
            run = self.runs[key]
            if self._has_its_start(run):
                self._out.add(key)
                return run
        return None

    def settle(self, key: str, outcome: Outcome) -> None:
        """Take the outcome of a run that was handed out, and block those that can no longer have their start."""
        self._out.discard(key)
        self.outcomes[key] = outcome
        if outcome.kind in ("failed", "blocked"):
            for other in self.left:
                if self.runs[other].start == key and other not in self.outcomes:
                    self.settle(other, Outcome("blocked", f"begins where {key} ends, which {_LACK[outcome.kind]}"))

    def waits_for(self) -> str | None:
        """Return the start, with who works on it, that what is left waits for; None where nothing waits for another process.

        A start that its process gave up unfinished becomes one of ours again.
        """
        for key in self.left:
            start = self.runs[key].start
            outcome = None if start is None else self.outcomes.get(start)
            if start is None or outcome is None or self._has_its_start(self.runs[key]):
                continue  # can begin, or its start is ours
            who = holder(self.runs[start].folder)
            if who is not None:
                return f"{start}, {who} works on it"
            if outcome.kind == "elsewhere":
                del self.outcomes[start]
            else:
                self.settle(key, Outcome("blocked", f"begins where {start} ended, whose files are gone; restore or remove that folder"))
        return None

    def _has_its_start(self, run: PlannedRun) -> bool:
        return run.start is None or state_of(self.runs[run.start]).kind == "done"
