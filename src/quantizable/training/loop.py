"""The training loop, from top to bottom: the same on one CPU, one GPU, and many processes under torchrun."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from quantizable.data import Loader, Splits
from quantizable.errors import QuantizableError, TrainingError
from quantizable.network import checksum, modes_of, save, unwrap
from quantizable.records import read_records
from quantizable.training.averaging import averaged, start_average, take_average, update_average
from quantizable.training.calibrate import calibrate, reestimate_norms
from quantizable.training.distributed import World, join_world
from quantizable.training.evaluate import Accuracy, evaluate
from quantizable.training.optimizers import rate_factor
from quantizable.training.progress import Progress
from quantizable.training.recipe import Recipe, check_recipe
from quantizable.training.run_records import RunRecords
from quantizable.training.schedule import ModeSchedule
from quantizable.training.setup import build_loss, build_network, build_optimizer, load_splits, train_loader
from quantizable.training.state import STATE_FILE, Position, load_state, save_state
from quantizable.training.step import multi_mode_backward

_EVALUATION_BATCH = 250


@dataclass(frozen=True, slots=True)
class TrainResult:
    """accuracy: mode -> Accuracy on the test images after training; calibrated: the same before any step."""

    accuracy: dict[str, Accuracy]
    network: nn.Module
    folder: Path


def train(recipe: Recipe, folder: str | Path, *, quiet: bool = False) -> TrainResult:
    """Run a recipe to its end in `folder`, going on where an earlier run of the same recipe there was stopped or killed.

    Writes recipe.toml, records.jsonl, state.safetensors (until the end), and checkpoint/ (what `load` reads).

    Raises:
        TrainingError: a loss is not finite, a loader fails, or the folder holds another recipe's run.
        DataError, RecipeError, CheckpointError: before the first step.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_other_recipe(folder, recipe)
    if recipe.train.threads is not None:
        torch.set_num_threads(recipe.train.threads)
    world = join_world(recipe.train.device)
    splits = load_splits(recipe.data, seed=recipe.seed)
    loader = train_loader(splits, recipe, world)
    network = build_network(recipe, splits.train.n_classes, next(iter(loader))[0]).to(world.device)
    criterion, optimizer = build_loss(recipe), build_optimizer(recipe, network)
    schedule = ModeSchedule(recipe.train.modes, recipe.seed)
    average = start_average(network) if recipe.train.average_decay else {}
    is_resumed = (folder / STATE_FILE).is_file()
    position = load_state(folder, network, optimizer, average) if is_resumed else Position()
    records = RunRecords(folder, recipe, is_on=world.is_first, tensorboard=recipe.train.tensorboard)
    records.begin(resumed_at=position.step if is_resumed else None)
    steps = recipe.train.epochs * len(loader)
    progress = Progress(steps, is_on=world.is_first and not quiet)
    if not is_resumed:
        _calibrate_first(network, splits, loader, recipe, world, records, progress)
        if average:
            average = start_average(network)
    network.train()
    parameters = [p for p in network.parameters() if p.requires_grad]
    autocast = torch.bfloat16 if recipe.train.precision == "bfloat16" and world.device.type == "cuda" else None
    began = saved = time.monotonic()
    seconds_before = position.seconds

    for epoch in range(position.epoch, recipe.train.epochs):
        loader.set_epoch(epoch)
        loader.seek(position.batch)
        for images, labels in _batches(loader, position):
            images, labels = images.to(world.device), labels.to(world.device)
            torch.manual_seed((recipe.seed << 32) + position.step)  # dropout too is a function of seed and step
            factor = rate_factor(position.step, steps, rule=recipe.train.lr_schedule, warmup_steps=recipe.train.warmup_steps,
                                 milestones=tuple(recipe.train.milestones))  # fmt: skip
            for group in optimizer.param_groups:
                group["lr"] = group["start_lr"] * factor
            optimizer.zero_grad(set_to_none=True)
            modes = schedule.modes(position.step, modes_of(network))
            result = multi_mode_backward(network, images, labels, criterion, modes=modes, autocast=autocast)
            losses = _finite(world.average(torch.stack(list(result.losses.values()))), modes=list(result.losses), step=position.step)
            world.average_gradients(parameters)
            if recipe.train.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, recipe.train.clip_norm)
            optimizer.step()
            if average:
                update_average(average, network, decay=recipe.train.average_decay or 0.0, step=position.step)
            position.step, position.batch = position.step + 1, position.batch + 1
            for mode, loss in losses.items():
                position.loss_sums[mode] = position.loss_sums.get(mode, 0.0) + loss
            position.seconds = seconds_before + time.monotonic() - began
            progress.step(position.step, epoch=epoch, epochs=recipe.train.epochs, losses=losses, images=len(images) * world.size)
            if world.is_first and time.monotonic() - saved > 60 * recipe.train.checkpoint_minutes:
                save_state(folder, position, network, optimizer, average)
                saved = time.monotonic()
        means = {mode: total / position.batch for mode, total in position.loss_sums.items()}
        validation = _validate(network, splits, loader, recipe, average, epoch=epoch, world=world)
        position.seconds = seconds_before + time.monotonic() - began
        position.epoch, position.batch, position.loss_sums = epoch + 1, 0, {}
        records.epoch(epoch, steps=position.step, seconds=position.seconds - position.epoch_seconds, loss=means, validation=validation)
        position.epoch_seconds = position.seconds
        if validation:
            progress.say(f"epoch {epoch + 1}: validation top-1 " + _shown(validation))
        if world.is_first:
            save_state(folder, position, network, optimizer, average)

    if average:
        take_average(network, average)
    _settle(network, loader, recipe)
    accuracy = _finish(network, splits, folder, records, position, world)
    progress.say("test top-1 " + _shown(accuracy))
    world.leave()
    return TrainResult(accuracy, network, folder)


def _calibrate_first(
    network: nn.Module, splits: Splits, loader: Loader, recipe: Recipe, world: World, records: RunRecords, progress: Progress
) -> None:
    """Estimate steps and norms from training images, and measure what this alone gives: plain post-training quantization."""
    if world.is_first:
        progress.say("calibrating all modes")
    images = [images for images, _ in islice(iter(loader), recipe.train.calibration_batches)]
    calibrate(network, images)
    world.broadcast(network)
    if world.is_first and recipe.train.evaluate_every and splits.test is not None:
        found = evaluate(network, Loader.in_order(splits.test, batch_size=_EVALUATION_BATCH))
        records.evaluation("calibrated", "post-training", "test", found)
        progress.say("before training: test top-1 " + _shown(found))
    world.wait()


def _batches(loader: Loader, position: Position) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the loader's batches; what it raises becomes one error that says where."""
    try:
        yield from loader
    except QuantizableError:
        raise
    except Exception as error:
        raise TrainingError(f"loader: failed at epoch {position.epoch} batch {position.batch}: {type(error).__name__}: {error}") from error


def _finite(losses: Tensor, *, modes: list[str], step: int) -> dict[str, float]:
    found = dict(zip(modes, losses.tolist(), strict=True))
    for mode, loss in found.items():
        if not abs(loss) < float("inf"):
            raise TrainingError(f"train: loss of mode {mode} is {loss} at step {step}; lower train.lr or set train.clip_norm, then run again")
    return found


def _validate(
    network: nn.Module, splits: Splits, loader: Loader, recipe: Recipe, average: dict[str, Tensor], *, epoch: int, world: World
) -> dict[str, Accuracy] | None:
    every = recipe.train.evaluate_every
    if splits.validation is None or not every or (epoch + 1) % every or not world.is_first:
        world.wait()
        return None
    with averaged(network, average):
        found = evaluate(network, Loader.in_order(splits.validation, batch_size=_EVALUATION_BATCH))
    world.wait()
    return found


def _settle(network: nn.Module, loader: Loader, recipe: Recipe) -> None:
    """Estimate the norms of integer modes anew from the final weights; the float mode keeps its running statistics."""
    if recipe.train.epochs == 0 or recipe.quantize.norms == "shared":
        return
    loader.set_epoch(recipe.train.epochs)
    device = next(network.parameters()).device
    images = [images.to(device) for images, _ in islice(iter(loader), recipe.train.calibration_batches)]
    for mode in modes_of(network):
        reestimate_norms(network, images, mode)


def _finish(
    network: nn.Module, splits: Splits, folder: Path, records: RunRecords, position: Position, world: World
) -> dict[str, Accuracy]:
    found: dict[str, Accuracy] = {}
    if world.is_first:
        if splits.test is not None:
            found = evaluate(network, Loader.in_order(splits.test, batch_size=_EVALUATION_BATCH))
            records.evaluation("end", "trained", "test", found)
        save(unwrap(network), folder / "checkpoint")
        records.end(seconds=position.seconds, epochs=position.epoch, checksum=checksum(network))
        (folder / STATE_FILE).unlink(missing_ok=True)
    world.wait()
    return found


def _refuse_other_recipe(folder: Path, recipe: Recipe) -> None:
    """A folder holds one run: going on in it with another recipe would mix two."""
    if not (folder / "records.jsonl").is_file():
        return
    rows = [row for row in read_records(folder) if row.get("kind") == "run"]
    if not rows:
        return
    before, now = check_recipe(rows[-1]["recipe"]).model_dump(), recipe.model_dump()  # type: ignore[arg-type]
    for section, keys in now.items():
        if before[section] != keys:
            raise TrainingError(f"{folder}: holds a run with another {section!r}; choose another folder, or remove this one")
    if any(row.get("kind") == "end" for row in read_records(folder)):
        raise TrainingError(f"{folder}: this run is complete; choose another folder to repeat it, or remove this one")


def _shown(accuracy: dict[str, Accuracy]) -> str:
    return "  ".join(f"{mode} {each.top1:.2f}" for mode, each in accuracy.items())
