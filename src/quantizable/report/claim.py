"""What a folder of records holds: one run, a study of runs, or a benchmark; DESIGN calls such a folder a claim."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quantizable.errors import RecordError
from quantizable.records import RECORDS_FILE, read_records
from quantizable.report.runs import Row, Run, run_from_rows
from quantizable.report.timings import Timing, timings_from_rows


@dataclass(frozen=True, slots=True)
class Claim:
    """The contents of a folder of records; either `runs` or `timings` is filled.

    words: the last row of kind ``claim`` in the folder's own records (title, claim, compared, baseline), or nothing.
    starts: the rows that say how it was made, one a run or a benchmark session.
    n_unfinished_bytes: length of last lines that killed writers left open, left out here.
    """

    folder: Path
    kind: Literal["run", "study", "benchmark"]
    words: Row
    starts: tuple[Row, ...]
    runs: tuple[Run, ...] = ()
    timings: tuple[Timing, ...] = ()
    n_unfinished_bytes: int = 0

    @property
    def title(self) -> str:
        """The title it was given, else the name of the run, else the name of the folder."""
        name = self.runs[0].recipe if self.kind == "run" else self.folder.resolve().name
        return str(self.words.get("title") or name)

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipes of the runs once each, the baseline first, the others by name."""
        names = sorted({run.recipe for run in self.runs})
        return tuple(sorted(names, key=lambda name: name != self.baseline))

    @property
    def baseline(self) -> str:
        """The recipe that others are compared with: the claim's own word, else the one with the most modes, by name."""
        named = str(self.words.get("baseline", ""))
        if named or not self.runs:
            return named
        return min(self.runs, key=lambda run: (-max(map(len, run.scores.values()), default=0), run.recipe)).recipe


def read_claim(folder: str | os.PathLike[str]) -> Claim:
    """Return what the records in `folder` and below hold.

    Raises:
        RecordError: no folder, no records, a broken row, a baseline that is none of the recipes, or a seed run twice.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordError(f"{folder}: not a folder; give one that holds {RECORDS_FILE}, for example results/quickstart")
    own: tuple[Row, ...] = ()
    n_unfinished_bytes = 0
    if (folder / RECORDS_FILE).is_file():
        records = read_records(folder)
        own, n_unfinished_bytes = records, records.unfinished_bytes
    words: Row = next((row for row in reversed(own) if row.get("kind") == "claim"), {})
    kinds = {row.get("kind") for row in own}
    where = str(folder / RECORDS_FILE)
    if "time" in kinds:
        timings = timings_from_rows(own, where=where)
        return Claim(folder, "benchmark", words, _starts(own), timings=timings, n_unfinished_bytes=n_unfinished_bytes)
    if "run" in kinds:
        run = run_from_rows(own, where=where)
        return Claim(folder, "run", words, _starts(own), runs=(run,), n_unfinished_bytes=n_unfinished_bytes)
    return _read_study(folder, words, n_unfinished_bytes)


def _read_study(folder: Path, words: Row, n_unfinished_bytes: int) -> Claim:
    runs = []
    for file in sorted(folder.glob(f"*/**/{RECORDS_FILE}")):
        records = read_records(file)
        n_unfinished_bytes += records.unfinished_bytes
        if not records:
            continue  # killed before its first row was whole: the run starts anew
        runs.append(run_from_rows(records, where=str(file), recipe=_recipe_name(file.parent.relative_to(folder))))
    if not runs:
        raise RecordError(f"{folder}: no records of runs or timings; give a folder that holds {RECORDS_FILE} or folders of runs")
    _check_seeds(runs, folder)
    claim = Claim(folder, "study", words, tuple(run.start for run in runs), tuple(runs), n_unfinished_bytes=n_unfinished_bytes)
    if claim.baseline not in claim.recipes:
        raise RecordError(f"{folder}: baseline {claim.baseline!r} is none of its recipes; name one of {', '.join(claim.recipes)}")
    return claim


def _recipe_name(path: Path) -> str:
    """Return the recipe that a run folder below a study belongs to: ``shared`` of ``shared/seed0``."""
    return (path.parent if re.fullmatch(r"seed\d+", path.name) and path.parent.name else path).as_posix()


def _check_seeds(runs: Iterable[Run], folder: Path) -> None:
    seen: set[tuple[str, int]] = set()
    for run in runs:
        if (run.recipe, run.seed) in seen:
            raise RecordError(f"{folder}: recipe {run.recipe!r} has two runs of seed {run.seed}; move one of them out of the study")
        seen.add((run.recipe, run.seed))


def _starts(rows: Iterable[Mapping[str, object]]) -> tuple[Row, ...]:
    """Return the rows that carry a command."""
    return tuple(row for row in rows if "command" in row)
