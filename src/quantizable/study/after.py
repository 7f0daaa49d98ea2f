"""Evaluations after a run, on the network that it saved; each is one function and one row of STEPS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from quantizable.errors import ModeError, RecipeError
from quantizable.modes import Mode, parse_modes
from quantizable.network import BitSpecificNorm, modes_of, nearest, use_mode
from quantizable.records import append_record
from quantizable.training import Accuracy, SavedRun, append_evaluation, calibrate, evaluate, join_world, load_splits, open_run, train_loader

_EVALUATION_BATCH = 250
Batches = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class _Bench:
    """What a step works on: a saved run, its network on the device, batches of training images, and the images to score."""

    run: SavedRun
    network: nn.Module
    batches: Batches
    split: str
    scored: Iterable[tuple[Tensor, Tensor]]

    def score(self, modes: tuple[Mode, ...]) -> dict[str, Accuracy]:
        """Return the accuracy of `modes`."""
        return evaluate(self.network, self.scored, modes)


def parse_step(text: str) -> tuple[str, tuple[Mode, ...]]:
    """Return name and modes of a step: "calibrate:w3a3,w6a6" or "re-estimate".

    Raises:
        ValueError: no such step, modes missing, misspelt, or given to a step that takes none.
    """
    name, colon, modes = text.partition(":")
    if name not in STEPS:
        raise ValueError(f"no step {name!r}{nearest(name, STEPS)}; those are {', '.join(STEPS)}")
    if STEPS[name].takes_modes != bool(colon):
        raise ValueError(f"step {text!r}: {name} " + ("needs modes, for example 'calibrate:w3a3,w6a6'" if not colon else "takes no modes"))
    try:
        return name, parse_modes(modes) if colon else ()
    except ModeError as error:
        raise ValueError(f"step {text!r}: {error}") from error


def take_step(folder: Path, text: str, *, root: str | None) -> None:
    """Evaluate the finished run in `folder` as the step `text` says, and append the scores and then the step to its records.

    Args:
        root: where the data is now (data.root), None: where it was.

    Raises:
        CheckpointError, DataError, RecipeError: the run has no checkpoint, its data is gone, or it has a mode that would be added.
    """
    name, modes = parse_step(text)
    run = open_run(folder, [] if root is None else [f"data.root={json.dumps(root)}"])
    there = {mode.name for mode in modes_of(run.network)}
    for mode in modes:
        if mode.name in there:
            raise RecipeError(f"{folder}: after = {text!r}: {mode.name} is a mode that was trained; leave it out")
    step = STEPS[name]
    bench = _bench(run)
    append_evaluation(folder, "after", step.label, bench.split, step.take(bench, modes))
    append_record(folder, {"kind": "after", "step": text})


def _bench(run: SavedRun) -> _Bench:
    world = join_world(run.recipe.train.device)
    splits = load_splits(run.recipe.data, seed=run.recipe.seed)
    loader = train_loader(splits, run.recipe, world)
    loader.set_epoch(run.recipe.train.epochs)  # images in an order and with crops that no step of training saw
    batches = [(images.to(world.device), labels) for images, labels in islice(loader, run.recipe.train.calibration_batches)]
    split = "test" if splits.test is not None else "validation"
    images = getattr(splits, split)
    if images is None:
        raise RecipeError(f"{run.folder}: {run.recipe.data.name} has neither test nor validation images; give data.validation")
    return _Bench(run, run.network.to(world.device), batches, split, loader.in_order(images, batch_size=_EVALUATION_BATCH))


def _calibrate(bench: _Bench, modes: tuple[Mode, ...]) -> dict[str, Accuracy]:
    """Steps and norms of modes that were never trained, from data; the trained modes stay as they are."""
    calibrate(bench.network, bench.batches, modes, batches=len(bench.batches))
    return bench.score(modes)


@torch.no_grad()
def _reestimate(bench: _Bench, _: tuple[Mode, ...]) -> dict[str, Accuracy]:
    """The statistics of norms that modes share, estimated anew for one mode after the other, each scored with its own."""
    found: dict[str, Accuracy] = {}
    for mode in modes_of(bench.network):
        norms = [module.of(mode.name) for module in bench.network.modules() if isinstance(module, BitSpecificNorm)]
        with use_mode(bench.network, mode):
            bench.network.eval()
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # a plain average over the batches
                norm.train()
            for images, _labels in bench.batches:
                bench.network(images)
        found |= bench.score((mode,))
    return found


@dataclass(frozen=True, slots=True)
class Step:
    """How a step is taken, the label of its scores, and whether it is written with modes."""

    take: Callable[[_Bench, tuple[Mode, ...]], dict[str, Accuracy]]
    label: str
    takes_modes: bool


STEPS = {
    "calibrate": Step(_calibrate, "post-training", takes_modes=True),
    "re-estimate": Step(_reestimate, "re-estimated", takes_modes=False),
}
