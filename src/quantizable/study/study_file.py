"""Study files: a base recipe, seeds, and variants, each a table of overrides; checked before anything starts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from quantizable.errors import RecipeError
from quantizable.network import nearest
from quantizable.study.after import parse_step

NO_START = "none"  # how a variant says that it does not begin where the study's `start` ended
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # a folder, a word of --only, a part of a dotted key
_EXAMPLE = "studies/cifar100-ablation.toml"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Words(_Table):
    """What a report says above the tables; docs/records.md, "Words"."""

    title: str = ""
    claim: str = ""
    compared: str = ""
    baseline: str = ""


class Variant(_Table):
    """One row of the grid: what it replaces in the base recipe, where its weights come from, what is evaluated after it.

    overrides: "section.key" -> value. start: the variant whose float weights of the same seed it begins with, or "none".
    after: steps such as "calibrate:w3a3,w6a6", see after.py. start and after left out: those of the study.
    """

    start: str | None = None
    after: tuple[str, ...] | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _split(cls, table: Any) -> Any:
        """Keys with a dot are overrides, the others the variant's own."""
        if not isinstance(table, dict):
            raise ValueError(f"is a table of overrides, found {table!r}")
        own = {key: value for key, value in table.items() if "." not in key}
        for key, value in own.items():
            if isinstance(value, dict):
                inner = next(iter(value), "key")
                raise ValueError(f'{key}.{inner}: write an override with its key in quotes, "{key}.{inner}" = ...')
            if key not in ("start", "after"):
                raise ValueError(f'no key {key!r}{nearest(key, ("start", "after"))}; overrides of the recipe have a dot, "loss.teacher"')
        return {**own, "overrides": {key: value for key, value in table.items() if "." in key}}

    @field_validator("after")
    @classmethod
    def _steps_exist(cls, steps: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return _checked_steps(steps)


class Study(_Table):
    """A whole study. `load_study` reads one.

    recipe: the base, a path relative to the study's file. seeds: each variant runs once with each.
    start, after: what holds for variants that do not say otherwise. report: see `Words`.
    """

    recipe: str
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]
    start: str | None = None
    after: tuple[str, ...] = ()
    report: Words = Words()
    variants: Annotated[dict[str, Variant], Field(min_length=1)]

    @field_validator("after")
    @classmethod
    def _steps_exist(cls, steps: tuple[str, ...]) -> tuple[str, ...]:
        return _checked_steps(steps) or ()

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: list[int]) -> list[int]:
        doubled = [seed for seed in seeds if seeds.count(seed) > 1]
        if doubled:
            raise ValueError(f"{doubled[0]} stands in the list {seeds.count(doubled[0])} times; name each seed once")
        return seeds

    @field_validator("variants")
    @classmethod
    def _names(cls, variants: dict[str, Variant]) -> dict[str, Variant]:
        for name in variants:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a folder; use letters, digits, '_' and '-'")
        return variants

    @model_validator(mode="after")
    def _starts_exist_and_end(self) -> Self:
        named = [("start", self.start), *((f"variants.{name}.start", each.start) for name, each in self.variants.items())]
        for place, start in named:
            if start not in (None, NO_START) and start not in self.variants:
                raise ValueError(f"{place}: no variant {start!r}{nearest(str(start), self.variants)}; those are {', '.join(self.variants)}")
        if self.report.baseline and self.report.baseline not in self.variants:
            near = nearest(self.report.baseline, self.variants)
            raise ValueError(f"report.baseline: no variant {self.report.baseline!r}{near}; those are {', '.join(self.variants)}")
        for name in self.variants:
            self.chain(name)
        return self

    def start_of(self, variant: str) -> str | None:
        """Return the variant whose weights this one begins with, or None: its own recipe's."""
        own = self.variants[variant].start
        start = own or (self.start if self.start != variant else None)
        return None if start == NO_START else start

    def after_of(self, variant: str) -> tuple[str, ...]:
        """Return the steps after each run of a variant."""
        own = self.variants[variant].after
        return self.after if own is None else own

    def chain(self, variant: str) -> list[str]:
        """Return the variants that must be there before this one, the first one first.

        Raises:
            ValueError: they begin with each other.
        """
        found: list[str] = []
        start = self.start_of(variant)
        while start is not None:
            if start == variant or start in found:
                way = ", ".join([*found, start])
                raise ValueError(f"variants.{variant}.start: begins with itself by way of {way}; break the circle")
            found.append(start)
            start = self.start_of(start)
        return found[::-1]


def load_study(path: str | Path) -> Study:
    """Return the checked study of a TOML file; its recipe and overrides are checked by `make_grid`.

    Raises:
        RecipeError: no such file, not TOML, an unknown key (with the nearest known one), or a wrong value.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); give the path of a study such as {_EXAMPLE}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{path}: {_first_fault(error)}") from error


def _checked_steps(steps: tuple[str, ...] | None) -> tuple[str, ...] | None:
    for step in steps or ():
        parse_step(step)
    return steps


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    place = [str(part) for part in fault["loc"]]
    key = ".".join(place)
    if fault["type"] == "extra_forbidden":
        known = list(Words.model_fields if place[0] == "report" else Study.model_fields)
        return f"no key {key!r}{nearest(place[-1], known)}; known are {', '.join(known)}"
    if fault["type"] == "missing":
        return f"key {key!r} is missing; see {_EXAMPLE} for a complete study"
    if fault["type"] == "value_error":  # raised by us, and says what to do
        text = str(fault["ctx"]["error"])
        return f"{key}: {text}" if key else text
    return f"{key}: {fault['msg']}, found {fault.get('input')!r}"
