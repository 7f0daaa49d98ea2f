"""How far a run is, as its folder tells; and whether it is the run that the study means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from quantizable.errors import RecipeError
from quantizable.records import RECORDS_FILE, read_records
from quantizable.study.grid import FLOAT_WEIGHTS, PlannedRun
from quantizable.study.lock import holder
from quantizable.training import Recipe, load_recipe

# no figure of a complete run depends on them; weights lie elsewhere on another machine, moments are filled in from the data
_MAY_DIFFER = {"name", "data.root", "data.mean", "data.std", "model.weights", "train.checkpoint_minutes", "train.tensorboard"}
_RECIPE_FILE = "recipe.toml"


@dataclass(frozen=True, slots=True)
class State:
    """kind: "done" (steps after it included), "trained" (these are missing), "begun", or "new"; epochs done; who works on it."""

    kind: Literal["done", "trained", "begun", "new"]
    epochs: int
    holder: str | None = None

    def told(self, planned: int) -> str:
        """Return the state in words: ``12 of 40 epochs``."""
        words = {"done": "done", "trained": "trained", "begun": f"{self.epochs} of {planned} epochs", "new": "not begun"}[self.kind]
        return words if self.holder is None else f"{words}, {self.holder} works on it"


def state_of(run: PlannedRun) -> State:
    """Return how far a run is.

    Raises:
        RecordError: its records are damaged.
    """
    rows = read_records(run.folder) if (run.folder / RECORDS_FILE).is_file() else ()
    epochs = [int(str(row["epoch"])) for row in rows if row.get("kind") == "epoch"]
    marks = [row.get("kind") for row in rows if row.get("kind") in ("run", "resume", "end")]
    works = holder(run.folder)
    if not marks:
        return State("new", 0, works)
    if marks[-1] != "end":
        return State("begun", max(epochs, default=0), works)
    return State("trained" if _is_open(run, rows) else "done", max(epochs, default=0), works)


def steps_to_take(run: PlannedRun) -> tuple[str, ...]:
    """Return the steps after a trained run that its records do not hold."""
    taken = {str(row.get("step")) for row in read_records(run.folder) if row.get("kind") == "after"}
    return tuple(step for step in run.after if step not in taken)


def check_folder(run: PlannedRun) -> None:
    """Refuse a folder that holds a run of another recipe, done or not: its figures are not those the study asks for.

    Raises:
        RecipeError: names the first key that differs.
    """
    path = run.folder / _RECIPE_FILE
    if not path.is_file():
        return
    before, now = _flat(load_recipe(path)), _flat(run.recipe)
    for key in sorted((before.keys() | now.keys()) - _MAY_DIFFER):
        if before.get(key) != now.get(key):
            told = f"{key} = {before.get(key)!r} there, {now.get(key)!r} in the study"
            raise RecipeError(f"{run.folder}: holds a run with {told}; put the study back, or move this folder out of it")


def _is_open(run: PlannedRun, rows: tuple[Mapping[str, object], ...]) -> bool:
    taken = {row.get("step") for row in rows if row.get("kind") == "after"}
    return not taken.issuperset(run.after) or (run.is_start and not (run.folder / FLOAT_WEIGHTS).is_file())


def _flat(recipe: Recipe) -> dict[str, object]:
    found: dict[str, object] = {}
    for section, keys in recipe.plain().items():
        found.update({f"{section}.{key}": value for key, value in keys.items()} if isinstance(keys, dict) else {section: keys})
    return found
