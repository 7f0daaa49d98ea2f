"""The folder of one run: what may go on in it, and how a finished one is opened again.

recipe.toml          the recipe, every default written out
records.jsonl        what was measured
state.safetensors    everything the next step depends on; gone at the end
checkpoint/          the trained network, written at the end
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from quantizable.errors import CheckpointError, RecordError, TrainingError
from quantizable.models import build
from quantizable.network import load
from quantizable.records import RECORDS_FILE, read_records
from quantizable.training.recipe import Recipe
from quantizable.training.recipe_file import load_recipe
from quantizable.training.setup import load_splits
from quantizable.training.state import STATE_FILE

RECIPE_FILE, CHECKPOINT = "recipe.toml", "checkpoint"
_MAY_CHANGE = {"data.root", "model.weights", "train.checkpoint_minutes", "train.tensorboard"}  # where things lie on this machine


@dataclass(frozen=True, slots=True, eq=False)
class SavedRun:
    """A run whose network was saved: the run's folder, its recipe, the folder of the checkpoint, and the network in that."""

    folder: Path
    recipe: Recipe
    checkpoint: Path
    network: nn.Module


def open_folder(folder: Path, recipe: Recipe) -> None:
    """Make the folder of a run; one that holds another recipe's run, or a complete one, is refused.

    Raises:
        TrainingError: the folder cannot be made, or holds what would be mixed with this run.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be made a folder ({error.strerror}); choose another for the run") from error
    if not (folder / RECORDS_FILE).is_file() or not (folder / RECIPE_FILE).is_file():
        return
    before, now = _flat(load_recipe(folder / RECIPE_FILE)), _flat(recipe)
    for key in sorted((before.keys() | now.keys()) - _MAY_CHANGE):
        if before.get(key) != now.get(key):
            told = f"{key} = {before.get(key)!r} there, {now.get(key)!r} here"
            raise TrainingError(f"{folder}: holds a run with another recipe, {told}; choose another folder, or remove this one")
    if any(row.get("kind") == "end" for row in read_records(folder)):
        raise TrainingError(f"{folder}: this run is complete; choose another folder to repeat it, or remove this one")


def open_run(path: str | Path, overrides: Sequence[str] = ()) -> SavedRun:
    """Return the saved run at `path`: the folder of a run, or a checkpoint's folder inside one.

    Args:
        overrides: ``section.key=value`` words for its recipe, for example ``data.root=PATH``.

    Raises:
        CheckpointError: no run there, one without a checkpoint, or a damaged checkpoint.
        RecipeError: its recipe, or a word.
        DataError: the records do not say how many classes the network has, and the data that would cannot be read.
    """
    checkpoint = _find_checkpoint(Path(path))
    folder = checkpoint.parent
    recipe = load_recipe(folder / RECIPE_FILE, overrides)
    n_classes = _n_classes(folder) or load_splits(recipe.data, seed=recipe.seed).train.n_classes
    network = build(recipe.model.name, num_classes=n_classes, **recipe.model.options)
    return SavedRun(folder, recipe, checkpoint, load(checkpoint, network))


def _find_checkpoint(path: Path) -> Path:
    """Return the folder of the checkpoint that `path` means: its own, or that of the run in it."""
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such folder; give the folder of a run, for example results/quickstart")
    if (path.parent / RECIPE_FILE).is_file() and not (path / RECIPE_FILE).is_file():
        return path
    if not (path / RECIPE_FILE).is_file():
        raise CheckpointError(f"{path}: no {RECIPE_FILE} here or above, so no run; give the folder of a run, or a checkpoint's inside one")
    if not (path / CHECKPOINT).is_dir():
        state = "it was stopped" if (path / STATE_FILE).is_file() else "it did not begin"
        raise CheckpointError(f"{path}: the run has no {CHECKPOINT}/ yet, {state}; give its `quantizable train` command again")
    return path / CHECKPOINT


def _n_classes(folder: Path) -> int | None:
    """Return how many outputs the network of a run has, as its records say; None where they do not."""
    try:
        rows = read_records(folder)
    except RecordError:  # a checkpoint that was copied without its records
        return None
    found = next((row.get("n_classes") for row in rows if row.get("kind") == "run"), None)
    return found if isinstance(found, int) else None


def _flat(recipe: Recipe) -> dict[str, object]:
    found: dict[str, object] = {}
    for section, keys in recipe.plain().items():
        found.update({f"{section}.{key}": value for key, value in keys.items()} if isinstance(keys, dict) else {section: keys})
    return found
