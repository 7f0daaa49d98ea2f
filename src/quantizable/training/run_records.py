"""What a run writes about itself: rows of records.jsonl, and curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quantizable.errors import TrainingError
from quantizable.records import append_record, portable, provenance
from quantizable.training.evaluate import Accuracy
from quantizable.training.recipe import Recipe
from quantizable.training.recipe_file import write_recipe
from quantizable.training.run_folder import RECIPE_FILE


class RunRecords:
    """Writer of one run's records; only the first process of a world writes."""

    def __init__(self, folder: Path, recipe: Recipe, *, is_on: bool, tensorboard: bool) -> None:
        self.folder, self.recipe, self.is_on = folder, recipe, is_on
        self._curves: Any = None
        if is_on and tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                message = "train.tensorboard: tensorboard is not installed; pip install tensorboard, or set it to false"
                raise TrainingError(message) from error
            self._curves = SummaryWriter(str(folder / "tensorboard"))

    def begin(self, *, n_classes: int, resumed_at: int | None) -> None:
        """Write the recipe beside the run, and the first row (or a row that says where it goes on)."""
        if not self.is_on:
            return
        write_recipe(self.recipe, self.folder / RECIPE_FILE)
        kind: dict[str, object] = {"kind": "run"} if resumed_at is None else {"kind": "resume", "step": resumed_at}
        row = {"name": self.recipe.name, "seed": self.recipe.seed, "n_classes": n_classes, "recipe": _shareable(self.recipe)}
        self._append({**kind, **row, **provenance()})

    def epoch(
        self, epoch: int, *, steps: int, seconds: float, loss: Mapping[str, float], validation: Mapping[str, Accuracy] | None
    ) -> None:
        """Write epoch number `epoch` (from 1): its mean losses by mode, and the accuracy on validation images where it was measured."""
        row: dict[str, object] = {"kind": "epoch", "epoch": epoch, "epochs": self.recipe.train.epochs, "steps": steps, "loss": dict(loss)}
        row["seconds"] = round(seconds, 3)
        if validation is not None:
            row["validation"] = _rows(validation)
        self._append(row)
        if self._curves is not None:
            for mode, value in loss.items():
                self._curves.add_scalar(f"loss/{mode}", value, epoch)
            for mode, accuracy in (validation or {}).items():
                self._curves.add_scalar(f"top1/{mode}", accuracy.top1, epoch)
            self._curves.flush()

    def evaluation(self, when: str, label: str, split: str, accuracy: Mapping[str, Accuracy]) -> None:
        """Write accuracies by mode: when "start", "calibrated" or "end"; label "float", "post-training" or "trained"."""
        if self.is_on:
            append_evaluation(self.folder, when, label, split, accuracy)

    def end(self, *, seconds: float, epochs: int, checksum: str) -> None:
        """Write that the run is complete."""
        row = {"kind": "end", "seconds": round(seconds, 3), "epochs": epochs, "checkpoint": "checkpoint", "checksum": checksum}
        self._append(row)
        if self._curves is not None:
            self._curves.close()

    def _append(self, row: Mapping[str, object]) -> None:
        if self.is_on:
            append_record(self.folder, row)


def append_evaluation(folder: Path, when: str, label: str, split: str, accuracy: Mapping[str, Accuracy]) -> None:
    """Write one row of accuracies by mode, as `RunRecords.evaluation` does, to the records of a run that may be over."""
    append_record(folder, {"kind": "evaluation", "when": when, "label": label, "split": split, "modes": _rows(accuracy)})


def _rows(accuracy: Mapping[str, Accuracy]) -> dict[str, object]:
    return {mode: asdict(each) for mode, each in accuracy.items()}


def _shareable(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe for a row of records, which may be published: without paths of this machine."""
    values = recipe.plain()
    for section, key in (("data", "root"), ("model", "weights")):
        if key in values[section]:
            values[section][key] = portable(values[section][key])
    return values
