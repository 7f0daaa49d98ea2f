"""Recipes: everything a training run depends on, checked before anything starts. recipe_file.py reads and writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from quantizable.errors import QuantizableError, RecipeError
from quantizable.modes import parse_mode, parse_modes
from quantizable.network import Plan, nearest
from quantizable.training.schedule import ModeSchedule

NONE = "none"  # how a recipe writes None where leaving the key out means something else

Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
Bits = Annotated[int, Field(ge=1, le=8)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def plain(self) -> dict[str, Any]:
        """Return the keys as values of TOML and JSON, which `check_recipe` reads; None is left out, or "none" where it is no default."""
        found: dict[str, Any] = {}
        for key, field in type(self).model_fields.items():
            value = getattr(self, key)
            if isinstance(value, _Section):
                found[key] = value.plain()
            elif value is not None:
                found[key] = self.model_dump(mode="json", include={key})[key]
            elif field.default is not None:
                found[key] = NONE
        return found


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

    @model_validator(mode="after")
    def _both_moments(self) -> Self:
        if (self.mean is None) != (self.std is None):
            raise ValueError("data: mean and std go together; give both or none")
        return self


class QuantizeSection(_Section):
    """modes: names, or one text "fp32,w4a4", or {name: {layer pattern: bits}}; the rest is the Plan of quantizable.network.

    first_bits, last_bits: "none" gives those layers the mode's own bits. channel_rms: "none" takes a channel's largest magnitude.
    """

    modes: list[str | int] | dict[str, dict[str, str | int]]
    quantizer: str = "nested"
    quantizers: list[tuple[str, str]] = Field(default_factory=list)
    first_bits: int | None = 8
    last_bits: int | None = 8
    keep_float: list[str] = Field(default_factory=list)
    channel_rms: float | None = 3.0
    norms: Literal["per_mode", "shared"] = "per_mode"

    _none = field_validator("first_bits", "last_bits", "channel_rms", mode="before")(lambda value: None if value == NONE else value)

    @field_validator("modes", mode="before")
    @classmethod
    def _known(cls, modes: Any) -> Any:
        if isinstance(modes, Mapping):
            if not all(isinstance(each, Mapping) for each in modes.values()):
                raise ValueError("a table of modes holds a table of {layer pattern: bits} for each, {} for none")
            parse_modes(modes)
            return modes
        if not isinstance(modes, str | int | list | tuple):
            raise ValueError(f'is a list of modes such as ["fp32", "w4a4"], found {modes!r}')
        parsed = parse_modes(modes)
        return [mode.name for mode in parsed]

    def plan(self) -> Plan:
        """Return the Plan that these keys describe."""
        values = self.model_dump(exclude={"modes"})
        values["quantizers"] = tuple(map(tuple, values["quantizers"]))
        values["keep_float"] = tuple(values["keep_float"])
        return Plan(**values)


class LossSection(_Section):
    """Arguments of ConsistencyLoss; teacher "none" trains with hard labels only."""

    teacher: Literal["highest", "next", "all", "none"] = "highest"
    label_weight: Weight = 1.0
    consistency_weight: Weight = 1.0
    temperature: float = Field(default=1.0, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    weights: dict[str, Weight] = Field(default_factory=dict)


class TrainSection(_Section):
    """Length, batch (over all processes), optimizer, rates, schedules, checkpoints.

    step_lr: rate of what quantizers learn, "none" for lr. evaluate_every: epochs between validations, 0 for none.
    """

    epochs: int = Field(ge=0)
    batch_size: int = Field(default=128, ge=1)
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    lr: float = Field(default=0.003, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: Weight = 0.0
    step_lr: float | None = Field(default=0.005, gt=0)
    step_lr_by_bits: dict[Bits, Weight] = Field(default_factory=dict)
    lr_schedule: Literal["cosine", "steps", "constant"] = "cosine"
    milestones: list[Share] = Field(default_factory=list)
    warmup_steps: int = Field(default=10, ge=0)
    modes: str = "all"
    clip_norm: float | None = Field(default=None, gt=0)
    average_decay: Share | None = None
    calibration_batches: int = Field(default=8, ge=1)
    checkpoint_minutes: Weight = 5.0
    evaluate_every: int = Field(default=1, ge=0)
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    tensorboard: bool = False

    _none = field_validator("step_lr", mode="before")(lambda value: None if value == NONE else value)

    @field_validator("modes")
    @classmethod
    def _rule(cls, rule: str) -> str:
        ModeSchedule(rule)
        return rule

    @model_validator(mode="after")
    def _milestones_have_a_use(self) -> Self:
        if bool(self.milestones) != (self.lr_schedule == "steps"):
            raise ValueError('train.milestones: belong to lr_schedule = "steps" and to no other; give both, for example [0.5, 0.75]')
        return self


class Recipe(_Section):
    """A whole training run. `load_recipe` reads one."""

    name: str = Field(min_length=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    model: ModelSection
    data: DataSection
    quantize: QuantizeSection
    loss: LossSection = LossSection()
    train: TrainSection

    @model_validator(mode="after")
    def _weights_name_modes_of_the_network(self) -> Self:
        known = [mode.name for mode in parse_modes(self.quantize.modes)]
        for mode in self.loss.weights:
            if parse_mode(mode).name not in known:
                raise ValueError(f"loss.weights: {mode!r} is not one of quantize.modes{nearest(mode, known)}; those are {', '.join(known)}")
        return self


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
    except QuantizableError as error:
        raise RecipeError(f"{where}: {error}") from error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    place = [str(part) for part in fault["loc"][:2]]  # section and key; what follows are pydantic's own words
    key = ".".join(place)
    if fault["type"] == "extra_forbidden":
        section = Recipe if len(place) == 1 else Recipe.model_fields[place[0]].annotation
        known = list(getattr(section, "model_fields", {}))
        return f"no key {key!r}{nearest(place[-1], known)}; known are {', '.join(known)}"
    if fault["type"] == "missing":
        return f"key {key!r} is missing; see recipes/digits.toml for a complete recipe"
    if fault["type"] == "value_error":  # raised by us, and says all
        text = str(fault["ctx"]["error"])
        return f"{key}: {text}" if len(place) > 1 else text
    return f"{key}: {fault['msg']}, found {fault.get('input')!r}"
