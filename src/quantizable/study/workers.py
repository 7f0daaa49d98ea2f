"""Several runs at once, one process and one core each: every worker is this command, asked for one run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from queue import Empty, Queue
from threading import Thread

from quantizable.study.agenda import Agenda
from quantizable.study.display import Display
from quantizable.study.grid import Grid, PlannedRun
from quantizable.study.lock import holder
from quantizable.study.progress import state_of
from quantizable.study.work import Outcome, failure, last_failure

_ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_POLL_SECONDS = 2.0
_DONE, _SOME_FAILED, _INTERRUPTED = 0, 1, 130  # exit codes of the command
Line = tuple[PlannedRun, str | None]  # None: the worker closed its stderr


def run_in_workers(grid: Grid, agenda: Agenda, count: int, display: Display) -> None:
    """Carry out what the agenda hands out, `count` runs at a time; outcomes are in the agenda.

    A worker whose parent was killed ends when it next has something to say, at most half a minute later.

    Raises:
        KeyboardInterrupt: of this process or of a worker; the workers stop where they are and can go on later.
    """
    lines: Queue[Line] = Queue()
    workers: dict[str, subprocess.Popen[str]] = {}
    try:
        while agenda.left or workers:
            while len(workers) < count and (run := agenda.take()) is not None:
                workers[run.key] = _start(grid, run, lines)
                display.begin(run.key)
            if not workers:
                waits = agenda.waits_for()
                if waits is not None:
                    display.say(f"waiting for {waits}")
            display.left(len(agenda.left))
            for run, line in _some(lines):
                if line is not None:
                    display.line(run.key, line)
                    continue
                outcome = _outcome(run, workers.pop(run.key).wait(), display.last(run.key))
                agenda.settle(run.key, outcome)
                display.end(run.key, outcome)
    finally:
        for worker in workers.values():
            worker.terminate()
        for worker in workers.values():
            worker.wait()


def command_of(grid: Grid, run: PlannedRun) -> list[str]:
    """Return the words that carry out one run; what its records say was typed."""
    return ["study", str(grid.source), "--only", run.key, "--results", str(grid.folder.parent), *grid.words]


def _start(grid: Grid, run: PlannedRun, lines: Queue[Line]) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "quantizable", *command_of(grid, run)]
    worker = subprocess.Popen(
        words, env={**os.environ, **_ONE_CORE}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    Thread(target=_read, args=(worker, run, lines), daemon=True).start()
    return worker


def _read(worker: subprocess.Popen[str], run: PlannedRun, lines: Queue[Line]) -> None:
    assert worker.stderr is not None
    with worker.stderr as pipe:
        for line in pipe:
            lines.put((run, line.rstrip()))
    lines.put((run, None))


def _some(lines: Queue[Line]) -> Sequence[Line]:
    """Return the lines that came, at least one unless none comes for a while."""
    found: list[Line] = []
    try:
        found.append(lines.get(timeout=_POLL_SECONDS))
        while True:
            found.append(lines.get_nowait())
    except Empty:
        return found


def _outcome(run: PlannedRun, code: int, last_line: str) -> Outcome:
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    if code == _DONE:
        if state_of(run).kind == "done":
            return Outcome("done")
        return Outcome("elsewhere") if holder(run.folder) else failure(run, "its worker ended before the run did; give the command again")
    if code == _SOME_FAILED:
        return Outcome("failed", last_failure(run))
    if code < 0:
        return failure(run, f"its worker was ended by signal {-code}; give the command again, with fewer workers if memory ran out")
    return failure(run, last_line.removeprefix("error: ") or f"its worker ended with exit code {code}")
