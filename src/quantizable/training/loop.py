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
from quantizable.network import checksum, modes_of, save, set_gradient_dtype, unwrap
from quantizable.training.averaging import averaged, start_average, take_average, update_average
from quantizable.training.calibrate import calibrate, reestimate_norms
from quantizable.training.distributed import World, join_world
from quantizable.training.evaluate import Accuracy, evaluate
from quantizable.training.optimizers import rate_factor
from quantizable.training.progress import Progress
from quantizable.training.recipe import Recipe
from quantizable.training.run_folder import CHECKPOINT, open_folder
from quantizable.training.run_records import RunRecords
from quantizable.training.schedule import ModeSchedule
from quantizable.training.setup import build_loss, build_network, build_optimizer, load_splits, train_loader, with_moments
from quantizable.training.state import STATE_FILE, Position, load_state, remove_state, save_state
from quantizable.training.step import multi_mode_backward

_EVALUATION_BATCH = 250
_CURE = "lower train.lr or set train.clip_norm, and train again in another folder, or from the last checkpoint in this one"


@dataclass(frozen=True, slots=True)
class TrainResult:
    """accuracy: mode -> Accuracy on the test images after training; world.is_first: this process measured it, the others hold none."""

    accuracy: dict[str, Accuracy]
    network: nn.Module
    folder: Path
    world: World


def train(recipe: Recipe, folder: str | Path, *, quiet: bool = False) -> TrainResult:
    """Run a recipe to its end in `folder`, going on where an earlier run of the same recipe there was stopped or killed.

    Writes recipe.toml, records.jsonl, state.safetensors (until the end), and checkpoint/ (what `load` reads).

    Raises:
        TrainingError: a loss is not finite, a loader fails, or the folder holds another recipe's run.
        DataError, RecipeError, CheckpointError: before the first step.
    """
    world = join_world(recipe.train.device)
    try:
        return _train(recipe, Path(folder), world, quiet=quiet)
    finally:
        world.leave()


def _train(recipe: Recipe, folder: Path, world: World, *, quiet: bool) -> TrainResult:
    if recipe.train.threads is not None:
        torch.set_num_threads(recipe.train.threads)
    set_gradient_dtype(torch.float32 if recipe.train.precision == "float32" else None)
    splits = load_splits(recipe.data, seed=recipe.seed)
    recipe = with_moments(recipe, splits)
    open_folder(folder, recipe)
    loader = train_loader(splits, recipe, world)
    example = next(_batches(loader, "first batch"))[0]
    network = build_network(recipe, splits.train.n_classes, example).to(world.device)
    criterion, optimizer = build_loss(recipe), build_optimizer(recipe, network)
    schedule = ModeSchedule(recipe.train.modes, recipe.seed)
    average = start_average(network) if recipe.train.average_decay else {}
    is_resumed = (folder / STATE_FILE).is_file()
    position = load_state(folder, network, optimizer, average) if is_resumed else Position()
    if not world.agree(position.step if is_resumed else -1):
        raise TrainingError(f"{folder}: the processes see different states of the run there; put it on storage that all machines share")
    records = RunRecords(folder, recipe, is_on=world.is_first, tensorboard=recipe.train.tensorboard)
    records.begin(n_classes=splits.train.n_classes, resumed_at=position.step if is_resumed else None)
    steps = recipe.train.epochs * len(loader)
    progress = Progress(steps, is_on=world.is_first and not quiet)
    if not is_resumed:
        _calibrate_first(network, splits, loader, recipe, world, records, progress)
        if average:
            average = start_average(network)
    network.train()
    parameters = [p for p in network.parameters() if p.requires_grad]
    watched: list[Tensor] = [p for p in parameters if bool(torch.isfinite(p).all())]  # NaN at the start: steps of layers that never run
    autocast = torch.bfloat16 if recipe.train.precision == "bfloat16" and world.device.type == "cuda" else None
    began = saved = time.monotonic()
    seconds_before = position.seconds

    for epoch in range(position.epoch, recipe.train.epochs):
        loader.set_epoch(epoch)
        loader.seek(position.batch)
        for images, labels in _batches(loader, f"epoch {epoch + 1} batch", first=position.batch + 1):
            images, labels = images.to(world.device), labels.to(world.device)
            torch.manual_seed((recipe.seed << 32) + position.step * world.size + world.rank)  # dropout too: of seed, step and rank
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
            if world.is_first and time.monotonic() - saved >= 60 * recipe.train.checkpoint_minutes:
                _refuse_broken(watched, step=position.step)
                save_state(folder, position, network, optimizer, average)
                saved = time.monotonic()
        _refuse_broken(watched, step=position.step)
        means = {mode: total / position.batch for mode, total in position.loss_sums.items()}
        validation = _validate(network, splits, loader, recipe, average, epoch=epoch, world=world)
        position.seconds = seconds_before + time.monotonic() - began
        position.epoch, position.batch, position.loss_sums = epoch + 1, 0, {}
        seconds, position.epoch_seconds = position.seconds - position.epoch_seconds, position.seconds
        records.epoch(epoch + 1, steps=position.step, seconds=seconds, loss=means, validation=validation)
        if validation:
            progress.say(f"epoch {epoch + 1}: validation top-1 " + _shown(validation))
        if world.is_first:
            save_state(folder, position, network, optimizer, average)
            saved = time.monotonic()

    progress.end()
    if average:
        take_average(network, average)
    _settle(network, loader, recipe)
    accuracy = _finish(network, splits, folder, records, position, world)
    if accuracy:
        progress.say("test top-1 " + _shown(accuracy))
    return TrainResult(accuracy, network, folder, world)


def _calibrate_first(
    network: nn.Module, splits: Splits, loader: Loader, recipe: Recipe, world: World, records: RunRecords, progress: Progress
) -> None:
    """Estimate steps and norms from training images, and measure what this alone gives: plain post-training quantization."""
    progress.say("calibrating all modes")
    images = [images for images, _ in islice(_batches(loader, "calibration batch"), recipe.train.calibration_batches)]
    calibrate(network, images)
    world.broadcast(network)
    if world.is_first and recipe.train.evaluate_every and splits.test is not None:
        found = evaluate(network, Loader.in_order(splits.test, batch_size=_EVALUATION_BATCH))
        records.evaluation("calibrated", "post-training", "test", found)
        progress.say("before training: test top-1 " + _shown(found))
    world.wait()


def _batches(loader: Loader, what: str, *, first: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the loader's batches; what it raises becomes one error with the number of the batch, counted from `first`."""
    batches, number = iter(loader), first
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except QuantizableError:
            raise
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
            raise TrainingError(f"loader: failed at {what} {number}: {found}; mend the data set, then run again") from error
        yield batch
        number += 1


def _finite(losses: Tensor, *, modes: list[str], step: int) -> dict[str, float]:
    found = dict(zip(modes, losses.tolist(), strict=True))
    for mode, loss in found.items():
        if not abs(loss) < float("inf"):
            raise TrainingError(f"train: loss of mode {mode} is {loss} at step {step}; {_CURE}")
    return found


def _refuse_broken(parameters: list[Tensor], *, step: int) -> None:
    """Look at the weights before they are saved, so that a state on disk is always one from which training can go on."""
    if not all(torch.isfinite(torch.stack(torch._foreach_norm(parameters))).tolist()):
        raise TrainingError(f"train: a weight is not finite after step {step}; {_CURE}")


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
    """Estimate the norms of all modes anew, for the final weights; norms that modes share keep their running statistics."""
    if recipe.train.epochs == 0:
        return
    loader.set_epoch(recipe.train.epochs)
    device = next(network.parameters()).device
    images = [images.to(device) for images, _ in islice(_batches(loader, "last batch"), recipe.train.calibration_batches)]
    for mode in modes_of(network):
        reestimate_norms(network, images, mode)


def _finish(network: nn.Module, splits: Splits, folder: Path, records: RunRecords, position: Position, world: World) -> dict[str, Accuracy]:
    found: dict[str, Accuracy] = {}
    if world.is_first:
        if splits.test is not None:
            found = evaluate(network, Loader.in_order(splits.test, batch_size=_EVALUATION_BATCH))
            records.evaluation("end", "trained", "test", found)
        save(unwrap(network), folder / CHECKPOINT)
        records.end(seconds=position.seconds, epochs=position.epoch, checksum=checksum(network))
        remove_state(folder)
    world.wait()
    return found


def _shown(accuracy: dict[str, Accuracy]) -> str:
    return "  ".join(f"{mode} {each.top1:.2f}" for mode, each in accuracy.items())
