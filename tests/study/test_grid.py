"""The grid: its cells, their order, recipes and folders; words of the command line; --only."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantizable.errors import RecipeError
from quantizable.study import make_grid


def test_the_grid_is_variants_times_seeds_a_whole_seed_first(write_study):
    """Promise: starts stand before what needs them, and the first seed of everything before the second of anything."""
    grid = make_grid(write_study())
    assert [run.key for run in grid.runs] == [f"{name}/seed{seed}" for seed in (0, 1) for name in ("float", "shared", "hard")]
    assert [run.folder for run in grid.runs][4] == Path("results/study/shared/seed1")
    assert [run.recipe.seed for run in grid.runs] == [0, 0, 0, 1, 1, 1]


def test_a_variant_changes_what_it_names_and_begins_where_its_start_ended(write_study):
    """Promise: fairness: all but the overrides is the base recipe, and the start is the same for all, seed by seed."""
    float_run, shared, hard = make_grid(write_study()).runs[3:]
    assert (float_run.start, float_run.is_start, float_run.recipe.model.weights) == (None, True, None)
    assert (hard.start, hard.is_start) == ("float/seed1", False)
    assert shared.recipe.model.weights == hard.recipe.model.weights == "results/study/float/seed1/float.safetensors"
    differing = {key for key, value in shared.recipe.plain().items() if value != hard.recipe.plain()[key]}
    assert differing == {"name", "loss"}


def test_a_start_further_back_comes_first_whatever_the_order_of_the_file(write_study):
    """Promise: starts may have starts; `none` takes a variant out of the study's."""
    text = "recipe = 'base.toml'\nseeds = [7]\nstart = 'b'\n[variants.a]\n[variants.b]\nstart = 'c'\n[variants.c]\nstart = 'none'\n"
    runs = make_grid(write_study(text)).runs
    assert [(run.key, run.start) for run in runs] == [("c/seed7", None), ("b/seed7", "c/seed7"), ("a/seed7", "b/seed7")]


def test_words_change_the_base_or_one_variant(write_study):
    """Promise: the command line wins over the variant's table, and that over the base."""
    words = ["train.lr=0.5", "loss.teacher=next", "variants.shared.train.lr=0.25"]
    _, shared, hard = make_grid(write_study(), words).runs[:3]
    assert (shared.recipe.train.lr, hard.recipe.train.lr) == (0.25, 0.5)
    assert (shared.recipe.loss.teacher, hard.recipe.loss.teacher) == ("next", "none")


WRONG = {
    "a typo in an override": (
        '[variants.x]\n"loss.techer" = "next"',
        [],
        "'x': no key 'loss.techer'; the nearest name is 'teacher'",
    ),
    "a wrong value": ('[variants.x]\n"train.epochs" = -1', [], "variant 'x': train.epochs: "),
    "two starts": ('[variants.x]\n"model.weights" = "a.pt"', [], "has model.weights and begins where 'float' ended"),
    "a value as a section": ('[variants.x]\n"name.b" = 1', [], "'name' is a value, not a section"),
    "a word for no variant": ("", ["variants.hrd.train.lr=1"], "no variant 'hrd'; the nearest name is 'hard'"),
    "a word that is none": ("", ["variants.hard.lr"], "is written variants.NAME.section.key=value"),
    "a word for the base that is none": ("", ["train.lrr=1"], "no key 'train.lrr'; the nearest name is 'lr'"),
}


@pytest.mark.parametrize("way", WRONG)
def test_a_wrong_override_is_one_line_that_names_the_variant(way, write_study):
    """Promise: all recipes are checked before the first run begins."""
    extra, words, message = WRONG[way]
    with pytest.raises(RecipeError) as caught:
        make_grid(write_study(more=extra), words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_takes_runs_or_variants_and_the_starts_they_need(write_study):
    """Promise: what is asked for can begin; a pattern that fits nothing is an error."""
    grid = make_grid(write_study())
    assert [run.key for run in grid.chosen("hard/seed1")] == ["float/seed1", "hard/seed1"]
    assert [run.key for run in grid.chosen("fl*")] == ["float/seed0", "float/seed1"]
    assert len(grid.chosen("*/seed0")) == 3
    assert grid.chosen(None) == grid.runs
    with pytest.raises(RecipeError, match="fits none of 6 runs; the nearest name is 'hard'"):
        grid.chosen("hrad")
