"""From a recipe to the objects of a run: data, loaders, the converted network, loss, optimizer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from quantizable.data import Augment, Loader, Splits, load_data
from quantizable.errors import RecipeError
from quantizable.models import build, load_float_weights
from quantizable.network import convert
from quantizable.training.distributed import World
from quantizable.training.losses import ConsistencyLoss
from quantizable.training.optimizers import make_optimizer, parameter_groups
from quantizable.training.recipe import DataSection, Recipe


def load_splits(section: DataSection, *, seed: int) -> Splits:
    """Return the data of a recipe, with its moments and augmentation."""
    splits = load_data(
        section.name,
        root=None if section.root is None else Path(section.root),
        validation=section.validation,
        seed=seed,
        image_size=section.image_size,
    )
    if section.mean is not None and section.std is not None:
        splits = splits.normalized_by(section.mean, section.std)
    wanted = {key: getattr(section, key) for key in ("crop_padding", "flip", "cutout")}
    named = {key: value for key, value in wanted.items() if value is not None}
    if named and not isinstance(splits.augment, Augment | None):
        raise RecipeError(f"data.{next(iter(named))}: is for images in memory, {section.name} reads image files; leave it out")
    if named:
        splits = replace(splits, augment=replace(splits.augment or Augment(0, flip=False), **named))
    return splits


def with_moments(recipe: Recipe, splits: Splits) -> Recipe:
    """Return the recipe with the mean and std by which its images are normalised: what the network expects, whatever data comes."""
    data = recipe.data.model_copy(update={"mean": splits.train.mean, "std": splits.train.std})
    return recipe.model_copy(update={"data": data})


def train_loader(splits: Splits, recipe: Recipe, world: World) -> Loader:
    """Return the loader of this process: its equal part of every batch."""
    if recipe.train.batch_size % world.size:
        raise RecipeError(f"train.batch_size: {recipe.train.batch_size} does not divide among {world.size} processes; choose a multiple")
    return Loader(
        splits.train,
        batch_size=recipe.train.batch_size // world.size,
        seed=recipe.seed,
        augment=splits.augment,
        rank=world.rank,
        world_size=world.size,
    )


def build_network(recipe: Recipe, n_classes: int, example: torch.Tensor) -> nn.Module:
    """Return the converted network of a recipe, its weights from the recipe's file or its seed.

    Raises:
        RecipeError, CheckpointError, PlanError, ConvertError: what the recipe asks for cannot be had.
    """
    torch.manual_seed(recipe.seed)
    network = build(recipe.model.name, num_classes=n_classes, **recipe.model.options)
    if recipe.model.weights is not None:
        report = load_float_weights(network, Path(recipe.model.weights))
        if not report.is_complete:
            raise RecipeError(f"model.weights: {recipe.model.weights} does not fit {recipe.model.name}: {report}")
    if example.ndim == 4:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return convert(network, recipe.quantize.modes, plan=recipe.quantize.plan(), example=example[:2])


def build_loss(recipe: Recipe) -> ConsistencyLoss:
    """Return the loss of a recipe."""
    values = recipe.loss.model_dump()
    values["teacher"] = None if values["teacher"] == "none" else values["teacher"]
    return ConsistencyLoss(**values)


def build_optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe over the network's parameter groups."""
    keys = recipe.train
    groups = parameter_groups(
        network, lr=keys.lr, weight_decay=keys.weight_decay, step_lr=keys.step_lr, step_lr_by_bits=keys.step_lr_by_bits
    )
    return make_optimizer(keys.optimizer, groups, lr=keys.lr, momentum=keys.momentum)
