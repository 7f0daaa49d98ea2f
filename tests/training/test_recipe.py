"""Recipes: what is refused, and in which words."""

from __future__ import annotations

import pytest

from quantizable.errors import RecipeError
from quantizable.training import Recipe, check_recipe

GOOD = {
    "name": "r",
    "model": {"name": "digits_net"},
    "data": {"name": "digits"},
    "quantize": {"modes": ["fp32", "w4a4"]},
    "loss": {},
    "train": {"epochs": 1},
}


def with_key(section: str, key: str, value: object) -> dict[str, object]:
    """GOOD with one key more, or another value."""
    if not section:
        return {**GOOD, key: value}
    return {**GOOD, section: {**GOOD[section], key: value}}


@pytest.mark.parametrize(
    ("section", "key", "nearest"),
    [
        ("", "sed", "seed"),
        ("", "trian", "train"),
        ("model", "optoins", "options"),
        ("data", "rooot", "root"),
        ("quantize", "quantiser", "quantizer"),
        ("loss", "temprature", "temperature"),
        ("train", "epoch", "epochs"),
        ("train", "batchsize", "batch_size"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(section, key, nearest):
    """Promise: in every section; the line names the key as it was written and the known ones."""
    with pytest.raises(RecipeError) as caught:
        check_recipe(with_key(section, key, 1), where="a.toml")
    message = str(caught.value)
    assert message.startswith(f"a.toml: no key '{section + '.' if section else ''}{key}'; the nearest name is '{nearest}'")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("", "seed", -1, "seed: .*greater than or equal to 0, found -1"),
        ("", "seed", 2**31, "seed: .*less than 2147483648"),
        ("", "name", "", "name: "),
        ("model", "name", 3, "model.name: .*string, found 3"),
        ("data", "validation", -5, "data.validation: .*found -5"),
        ("data", "mean", [0.5], "data: mean and std go together"),
        ("quantize", "modes", [], "quantize.modes: modes: the list is empty"),
        ("quantize", "modes", "", "quantize.modes: modes: the list is empty"),
        ("quantize", "modes", ["fp32", "w4a9"], "quantize.modes: mode 'w4a9': activation bits must be 1 to 8, found 9"),
        ("quantize", "modes", ["w4a4", 4], "quantize.modes: modes: 'w4a4' stands in the list 2 times"),
        ("quantize", "modes", [4.5], "quantize.modes: mode 4.5: a mode is an int or a name, found float"),
        ("quantize", "modes", 2.5, "quantize.modes: is a list of modes"),
        ("quantize", "modes", {"w4a4": 3}, "quantize.modes: a table of modes"),
        ("quantize", "modes", {"w4a4": {"conv1": 9}}, "quantize.modes: mode 'w9a9': weight bits must be 1 to 8, found 9"),
        ("quantize", "quantizer", "nestd", "plan: no quantizer 'nestd'; the nearest name is 'nested'"),
        ("quantize", "first_bits", 9, "plan: first_bits must be 1 to 8 or None, found 9"),
        ("quantize", "norms", "own", "quantize.norms: .*'per_mode' or 'shared'.*found 'own'"),
        ("loss", "teacher", "hihgest", "loss.teacher: .*'highest', 'next', 'all' or 'none', found 'hihgest'"),
        ("loss", "temperature", 0, "loss.temperature: .*greater than 0"),
        ("loss", "label_weight", float("nan"), "loss.label_weight: .*finite"),
        ("loss", "weights", {"w2a2": 1.0}, "loss.weights: 'w2a2' is not one of quantize.modes.*those are fp32, w4a4"),
        ("loss", "weights", {"w4a4": -1.0}, "loss.weights: "),
        ("train", "epochs", "many", "train.epochs: .*integer.*found 'many'"),
        ("train", "epochs", -1, "train.epochs: .*found -1"),
        ("train", "lr", 0, "train.lr: .*greater than 0, found 0"),
        ("train", "lr", float("inf"), "train.lr: .*finite"),
        ("train", "optimizer", "lamb", "train.optimizer: .*found 'lamb'"),
        ("train", "modes", "sandwich", "train.modes: schedule: must be 'all', 'sandwich:n' or 'random:n', found 'sandwich'"),
        ("train", "milestones", [0.5], "train.milestones: belong to lr_schedule"),
        ("train", "lr_schedule", "steps", "train.milestones: belong to lr_schedule"),
        ("train", "step_lr_by_bits", {9: 1.0}, "train.step_lr_by_bits: "),
        ("train", "tensorboard", "perhaps", "train.tensorboard: "),
    ],
)
def test_a_wrong_value_is_one_line_with_key_and_value(section, key, value, words):
    """Promise: the key, what is allowed, what was found."""
    with pytest.raises(RecipeError, match=words) as caught:
        check_recipe(with_key(section, key, value))
    assert "\n" not in str(caught.value)
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize("section", ["model", "data", "quantize", "train"])
def test_a_missing_section_or_key_is_told(section):
    """Promise: what is missing, and where a complete recipe is."""
    with pytest.raises(RecipeError, match=f"'{section}' is missing; see recipes/digits.toml"):
        check_recipe({key: value for key, value in GOOD.items() if key != section})
    with pytest.raises(RecipeError, match=f"'{section}.[a-z]+' is missing"):
        check_recipe({**GOOD, section: {}})


def test_no_table_is_told():
    """A section that is a value is refused too."""
    with pytest.raises(RecipeError, match="train: "):
        check_recipe({**GOOD, "train": 3})


@pytest.mark.parametrize(
    ("written", "modes"),
    [
        (["fp32", 8, "4"], ["fp32", "w8a8", "w4a4"]),
        ("w2a2,fp32", ["fp32", "w2a2"]),
        (4, ["w4a4"]),
        ({"w4a4:wide": {"conv*": 8}, "fp32": {}}, {"w4a4:wide": {"conv*": 8}, "fp32": {}}),
    ],
)
def test_modes_may_be_written_in_any_form(written, modes):
    """Promise: names, ints, one text, or a table with exceptions by layer."""
    assert check_recipe(with_key("quantize", "modes", written)).quantize.modes == modes


def test_none_is_a_word_where_leaving_out_means_something_else():
    """TOML has no null: "none" turns off what has a default."""
    recipe = check_recipe({**GOOD, "quantize": {"modes": [4], "first_bits": "none", "channel_rms": "none"}})
    assert recipe.quantize.plan().first_bits is None
    assert recipe.quantize.plan().channel_rms is None
    assert recipe.quantize.plan().last_bits == 8
    assert check_recipe(with_key("train", "step_lr", "none")).train.step_lr is None


def test_a_recipe_does_not_change():
    """Promise: frozen; the run that was checked is the run that runs."""
    recipe = check_recipe(GOOD)
    assert isinstance(recipe, Recipe)
    with pytest.raises(ValueError, match="frozen"):
        recipe.train.lr = 1.0
