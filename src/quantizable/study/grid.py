"""The grid of a study: variants x seeds, each an ordinary recipe and a folder."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from quantizable.errors import RecipeError
from quantizable.network import nearest
from quantizable.records import RECORDS_FILE, append_record, read_records
from quantizable.study.study_file import Study, load_study
from quantizable.training import Recipe, check_recipe, load_recipe

FLOAT_WEIGHTS = "float.safetensors"  # what a run leaves for those that begin with its weights
_VARIANTS = "variants."  # an override on the command line that begins with this is for one variant


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One cell of the grid.

    study: the folder of all its runs. start: the run whose float weights it begins with, by key. is_start: others begin with its.
    after: the steps that belong to it, see after.py.
    """

    study: Path
    variant: str
    seed: int
    recipe: Recipe
    start: str | None
    is_start: bool
    after: tuple[str, ...]

    @property
    def key(self) -> str:
        """``shared/seed0``: how --only names it, and its folder below the study's."""
        return _key(self.variant, self.seed)

    @property
    def folder(self) -> Path:
        """Where the run lives."""
        return self.study / self.key


@dataclass(frozen=True, slots=True)
class Grid:
    """A study's runs in the order in which they are best done: a whole seed before the next one, starts before what needs them.

    source: the study's file. words: the overrides it was made with. folder: results/<name of the file>.
    """

    source: Path
    folder: Path
    study: Study
    runs: tuple[PlannedRun, ...]
    words: tuple[str, ...]

    def chosen(self, pattern: str | None) -> tuple[PlannedRun, ...]:
        """Return the runs whose key or variant fits a shell pattern, and the starts they need; all without a pattern.

        Raises:
            RecipeError: nothing fits.
        """
        if pattern is None:
            return self.runs
        fitting = {run.key for run in self.runs if fnmatchcase(run.key, pattern) or fnmatchcase(run.variant, pattern)}
        if not fitting:
            near = nearest(pattern, self.study.variants)
            raise RecipeError(f"--only {pattern!r}: fits none of {len(self.runs)} runs{near}; the first is {self.runs[0].key}")
        for run in reversed(self.runs):  # starts stand before what needs them
            if run.key in fitting and run.start is not None:
                fitting.add(run.start)
        return tuple(run for run in self.runs if run.key in fitting)

    def write_words(self) -> None:
        """Append to the study's records what a report says above its tables, where that differs from what stands there.

        The baseline is named once it has begun: a report compares with nothing that has no records.
        """
        words = {key: text for key, text in self.study.report.model_dump().items() if text}
        if not any((self.folder / words.get("baseline", "")).glob(f"*/{RECORDS_FILE}")):
            words.pop("baseline", None)
        rows = read_records(self.folder) if (self.folder / RECORDS_FILE).is_file() else ()
        last = next((row for row in reversed(rows) if row.get("kind") == "claim"), None)
        if words and last != {"kind": "claim", **words}:
            append_record(self.folder, {"kind": "claim", **words})


def make_grid(source: str | Path, words: Sequence[str] = (), *, results: str | Path = "results") -> Grid:
    """Return the grid of a study file.

    Args:
        words: ``section.key=value`` for the base recipe, ``variants.NAME.section.key=value`` for one variant; the latter wins over
            the variant's own table, and that over the base.
        results: the folder of all studies.

    Raises:
        RecipeError: the study, its base recipe, an override, or a word is wrong; says which variant.
    """
    source = Path(source)
    study = load_study(source)
    base = load_recipe(source.parent / study.recipe, [word for word in words if not word.startswith(_VARIANTS)])
    mine = _words_by_variant(words, study)
    folder = Path(results) / source.stem
    depth = {name: len(study.chain(name)) for name in study.variants}
    in_order = sorted(study.variants, key=lambda name: depth[name])  # stable: otherwise in the order of the file
    starts = {study.start_of(name) for name in study.variants}
    runs = []
    for seed in study.seeds:
        for name in in_order:
            where = f"{source}: variant {name!r}"
            changes: dict[str, Any] = {**study.variants[name].overrides, **mine.get(name, {})}
            start = study.start_of(name)
            if start is not None:
                if "model.weights" in changes:
                    raise RecipeError(f"{where}: has model.weights and begins where {start!r} ended; leave one out (start = 'none')")
                changes["model.weights"] = _short(folder / _key(start, seed) / FLOAT_WEIGHTS)
            recipe = _recipe(base, {**changes, "name": f"{source.stem}/{name}", "seed": seed}, where)
            start_key = None if start is None else _key(start, seed)
            runs.append(PlannedRun(folder, name, seed, recipe, start_key, name in starts, study.after_of(name)))
    return Grid(source, folder, study, tuple(runs), tuple(words))


def _recipe(base: Recipe, changes: dict[str, Any], where: str) -> Recipe:
    values = base.plain()
    for key, value in changes.items():
        if key in ("name", "seed"):
            values[key] = value
            continue
        *sections, last = key.split(".")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise RecipeError(f"{where}: {key!r}: {section!r} is a value, not a section")
        place[last] = value
    return check_recipe(values, where=where)


def _words_by_variant(words: Sequence[str], study: Study) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for word in words:
        if not word.startswith(_VARIANTS):
            continue
        key, equals, text = word.partition("=")
        name, _, place = key.removeprefix(_VARIANTS).partition(".")
        if not equals or "." not in place:
            raise RecipeError(f"{word!r}: an override of one variant is written variants.NAME.section.key=value")
        if name not in study.variants:
            raise RecipeError(f"{word!r}: no variant {name!r}{nearest(name, study.variants)}; those are {', '.join(study.variants)}")
        try:
            found.setdefault(name, {})[place] = tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            found.setdefault(name, {})[place] = text  # bare text, as a shell passes it
    return found


def _key(variant: str, seed: int) -> str:
    return f"{variant}/seed{seed}"


def _short(path: Path) -> str:
    """Return a path as seen from the working folder where it lies below it, so that a run can go on at another machine."""
    whole, here = path.absolute(), Path.cwd()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else os.fspath(whole)
