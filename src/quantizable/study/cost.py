"""What a study costs: the step time of each distinct setting, measured now on this machine, times the steps that are left."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median

import torch
from torch import Tensor, nn

from quantizable.network import modes_of, set_gradient_dtype
from quantizable.study.grid import PlannedRun
from quantizable.study.progress import State, state_of
from quantizable.training import (
    ConsistencyLoss,
    ModeSchedule,
    Recipe,
    build_network,
    calibrate,
    evaluate,
    join_world,
    load_splits,
    make_optimizer,
    multi_mode_backward,
    parameter_groups,
    train_loader,
)

NOTHING = "–"  # a cell that has no figure
_WARM_STEPS, _STEPS, _EVALUATION_BATCH = 2, 5, 250
_SPEED_KEYS = ("batch_size", "modes", "optimizer", "precision", "device", "threads")  # of a recipe's [train]: what a step's time depends on


@dataclass(frozen=True, slots=True)
class Cost:
    """A run, its state, and what is left of it: step_s, seconds of one step; steps, in all; left_s, seconds to its end."""

    run: PlannedRun
    state: State
    step_s: float
    steps: int
    left_s: float


@dataclass(frozen=True, slots=True)
class _Speed:
    """Seconds of one step and of scoring one image in all modes; sizes of the data: batches of an epoch, images to score."""

    step_s: float
    score_s: float
    n_batches: int
    n_validation: int
    n_test: int


def measure_costs(runs: Sequence[PlannedRun], *, threads: int | None = None) -> tuple[Cost, ...]:
    """Return what each run costs; a few steps on the real data are run for each distinct network, modes and batch that is left.

    Args:
        threads: of torch while measuring, None: as many as a run alone would take.

    Raises:
        DataError, RecipeError: what a run would meet too.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    speeds: dict[str, _Speed] = {}
    costs = []
    for run in runs:
        state = state_of(run)
        if state.kind == "done":
            costs.append(Cost(run, state, 0.0, 0, 0.0))
            continue
        key = _setting(run.recipe)
        if key not in speeds:
            speeds[key] = _measure(run.recipe)
        costs.append(_cost(run, state, speeds[key]))
    return tuple(costs)


def cost_table(costs: Sequence[Cost], *, n_workers: int = 1) -> str:
    """Return the grid as lines of text: run, state, step time, what is left in hours; and the sum."""
    width = max(len("run"), *(len(cost.run.key) for cost in costs))
    states = [cost.state.told(cost.run.recipe.train.epochs) for cost in costs]
    states_width = max(len("state"), *map(len, states))
    lines = [f"{'run':<{width}}  {'state':<{states_width}}  ms a step    steps  hours left"]
    for cost, state in zip(costs, states, strict=True):
        step = f"{1000 * cost.step_s:.1f}" if cost.steps else NOTHING
        figures = f"{step:>9}  {cost.steps or NOTHING:>7}  {cost.left_s / 3600:10.2f}"
        lines.append(f"{cost.run.key:<{width}}  {state:<{states_width}}  {figures}")
    hours = sum(cost.left_s for cost in costs) / 3600
    n_done = sum(cost.state.kind == "done" for cost in costs)
    lines.append(f"{n_done} of {len(costs)} runs done; {hours:.2f} hours left, one after the other")
    if n_workers > 1:
        lines.append(f"{hours / n_workers:.2f} hours with {n_workers} workers, if each core is as fast beside the others")
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores:
        lines.append(f"the machine is busy now (load {load:.1f} on {cores} cores); a quiet one is faster than these steps")
    return "\n".join(lines)


def _setting(recipe: Recipe) -> str:
    """Return what the time of a step depends on, as a key."""
    values = recipe.plain()
    parts = {"model": {**values["model"], "weights": ""}, "data": values["data"], "quantize": values["quantize"], "loss": values["loss"]}
    return json.dumps({**parts, "train": {key: values["train"].get(key) for key in _SPEED_KEYS}}, sort_keys=True)


def _cost(run: PlannedRun, state: State, speed: _Speed) -> Cost:
    """Return what is left of a run: its steps, and the images it scores in validation, before and after training, and in steps after."""
    train = run.recipe.train
    left = 0 if state.kind == "trained" else train.epochs - state.epochs
    n_tests = len(run.after) + (state.kind != "trained") + (state.kind == "new" and train.evaluate_every > 0)
    n_validations = left // train.evaluate_every if train.evaluate_every else 0
    scored = n_tests * speed.n_test + n_validations * speed.n_validation
    seconds = left * speed.n_batches * speed.step_s + scored * speed.score_s
    return Cost(run, state, speed.step_s, train.epochs * speed.n_batches, seconds)


def _measure(recipe: Recipe) -> _Speed:
    world = join_world(recipe.train.device)
    set_gradient_dtype(torch.float32 if recipe.train.precision == "float32" else None)
    if recipe.train.threads is not None:
        torch.set_num_threads(recipe.train.threads)
    splits = load_splits(recipe.data, seed=recipe.seed)
    loader = train_loader(splits, recipe, world)
    batches = [(x.to(world.device), y.to(world.device)) for x, y in islice(loader, 2)]
    fresh = recipe.model_copy(update={"model": recipe.model.model_copy(update={"weights": None})})  # speed is not the weights'
    network = build_network(fresh, splits.train.n_classes, batches[0][0]).to(world.device)
    calibrate(network, [batches[0][0]])
    n_validation = 0 if splits.validation is None else len(splits.validation)
    n_test = 0 if splits.test is None else len(splits.test)
    return _Speed(_step_seconds(recipe, network, batches), _score_seconds(network, batches[0]), len(loader), n_validation, n_test)


def _step_seconds(recipe: Recipe, network: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    """Return the median time of a step: all its modes forward and backward, and the optimizer."""
    keys = recipe.train
    criterion = ConsistencyLoss(None if recipe.loss.teacher == "none" else recipe.loss.teacher)
    optimizer = make_optimizer(keys.optimizer, parameter_groups(network, lr=1e-5), lr=1e-5, momentum=keys.momentum)
    schedule = ModeSchedule(keys.modes, recipe.seed)
    device = batches[0][0].device
    autocast = torch.bfloat16 if keys.precision == "bfloat16" and device.type == "cuda" else None
    network.train()
    times = []
    for step in range(_WARM_STEPS + _STEPS):
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        images, labels = batches[step % len(batches)]
        multi_mode_backward(network, images, labels, criterion, modes=schedule.modes(step, modes_of(network)), autocast=autocast)
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return median(times[_WARM_STEPS:])


def _score_seconds(network: nn.Module, batch: tuple[Tensor, Tensor]) -> float:
    """Return the time of scoring one image in all modes."""
    images, labels = (part[:_EVALUATION_BATCH] for part in batch)
    evaluate(network, [(images, labels)])
    began = time.perf_counter()
    evaluate(network, [(images, labels)])
    return (time.perf_counter() - began) / len(images)
