"""Recipes: everything a training run depends on, as a TOML file that is checked before anything starts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from quantizable.errors import QuantizableError, RecipeError
from quantizable.modes import parse_modes
from quantizable.network import Plan, nearest
from quantizable.training.schedule import ModeSchedule


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSection(_Section):
    """name: of models.build, or 'package.module:factory'; options: its arguments; weights: file of float weights to start from."""

    name: str
    options: dict[str, int | float | str | bool] = Field(default_factory=dict)
    weights: str | None = None


class DataSection(_Section):
    """name: of data.load_data; root: folder or file; validation: images held out of the training set.

    crop_padding, flip, cutout: augmentation of images in memory; mean, std: per channel, scale 0 to 1. Left out: the set's own.
    """

    name: str
    root: str | None = None
    validation: int = Field(default=0, ge=0)
    crop_padding: int | None = Field(default=None, ge=0)
    flip: bool | None = None
    cutout: int | None = Field(default=None, ge=0)
    image_size: int | None = Field(default=None, ge=8)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


class QuantizeSection(_Section):
    """modes: names or {name: {layer pattern: bits}}; the rest is the Plan of quantizable.network."""

    modes: list[str | int] | dict[str, dict[str, str | int]]
    quantizer: str = "nested"
    quantizers: list[tuple[str, str]] = Field(default_factory=list)
    first_bits: int | None = 8
    last_bits: int | None = 8
    keep_float: list[str] = Field(default_factory=list)
    channel_rms: float | None = 3.0
    norms: Literal["per_mode", "shared"] = "per_mode"

    @field_validator("modes")
    @classmethod
    def _known(cls, modes: Any) -> Any:
        parse_modes(modes)
        return modes

    def plan(self) -> Plan:
        """Return the Plan that these keys describe."""
        values = self.model_dump(exclude={"modes"})
        values["quantizers"] = tuple(map(tuple, values["quantizers"]))
        values["keep_float"] = tuple(values["keep_float"])
        return Plan(**values)


class LossSection(_Section):
    """Arguments of ConsistencyLoss; teacher "none" trains with hard labels only."""

    teacher: Literal["highest", "next", "all", "none"] = "highest"
    label_weight: float = Field(default=1.0, ge=0)
    consistency_weight: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=1.0, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    weights: dict[str, float] = Field(default_factory=dict)


class TrainSection(_Section):
    """Length, batch (over all processes), optimizer, rates, schedules, checkpoints."""

    epochs: int = Field(ge=0)
    batch_size: int = Field(default=128, ge=1)
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    lr: float = Field(default=0.003, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    step_lr: float | None = Field(default=0.005, gt=0)
    step_lr_by_bits: dict[int, float] = Field(default_factory=dict)
    lr_schedule: Literal["cosine", "steps", "constant"] = "cosine"
    milestones: list[float] = Field(default_factory=list)
    warmup_steps: int = Field(default=10, ge=0)
    modes: str = "all"
    clip_norm: float | None = Field(default=None, gt=0)
    average_decay: float | None = Field(default=None, gt=0, lt=1)
    calibration_batches: int = Field(default=8, ge=1)
    checkpoint_minutes: float = Field(default=5.0, ge=0)
    evaluate_every: int = Field(default=1, ge=0)
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    tensorboard: bool = False

    @field_validator("modes")
    @classmethod
    def _rule(cls, rule: str) -> str:
        ModeSchedule(rule)
        return rule


class Recipe(_Section):
    """A whole training run. `load_recipe` reads one."""

    name: str
    seed: int = 0
    model: ModelSection
    data: DataSection
    quantize: QuantizeSection
    loss: LossSection = LossSection()
    train: TrainSection


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the checked recipe of a TOML file, with ``section.key=value`` words applied (values as in TOML, or bare text).

    Raises:
        RecipeError: no such file, not TOML, an unknown key (with the nearest known one), or a wrong value.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); give the path of a recipe such as recipes/digits.toml") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error
    for word in overrides:
        _override(values, word)
    return check_recipe(values, where=str(path))


def check_recipe(values: Mapping[str, object], *, where: str = "recipe") -> Recipe:
    """Return the Recipe that `values` describe; the first fault is told in one line.

    Raises:
        RecipeError: an unknown key or a wrong value.
    """
    try:
        recipe = Recipe.model_validate(values)
        recipe.quantize.plan()
        return recipe
    except ValidationError as error:
        raise RecipeError(f"{where}: {_first_fault(error)}") from error
    except RecipeError:
        raise
    except QuantizableError as error:
        raise RecipeError(f"{where}: {error}") from error


def to_toml(recipe: Recipe) -> str:
    """Return the recipe, every default written out, as TOML that `load_recipe` reads."""
    values = recipe.model_dump(exclude_none=True)
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for section, keys in values.items():
        if isinstance(keys, dict):
            lines += ["", f"[{section}]", *(f"{_toml_key(key)} = {_toml(value)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def _override(values: dict[str, Any], word: str) -> None:
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise RecipeError(f"{word!r}: an override is written section.key=value, for example train.lr=0.1")
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = text  # bare text, as a shell passes it
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise RecipeError(f"{word!r}: {section!r} is a value, not a section")
    values[last] = value


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    place = [str(part) for part in fault["loc"]]
    key = ".".join(place)
    if fault["type"] == "extra_forbidden":
        section = Recipe if len(place) == 1 else Recipe.model_fields[place[0]].annotation
        known = list(getattr(section, "model_fields", {}))
        return f"no key {key!r}{nearest(place[-1], known)}; known are {', '.join(known)}"
    if fault["type"] == "missing":
        return f"key {key!r} is missing; see recipes/digits.toml for a complete recipe"
    return f"{key}: {fault['msg']}, found {fault.get('input')!r}"


def _toml_key(key: object) -> str:
    text = str(key)
    return text if text.replace("_", "").replace("-", "").isalnum() else f'"{text}"'


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return repr(value)
