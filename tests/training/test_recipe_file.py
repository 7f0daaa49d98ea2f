"""Recipe files: overrides, the round trip through TOML, and every recipe that the project ships."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantizable.data import data_names
from quantizable.errors import RecipeError
from quantizable.models import model_names
from quantizable.network import QUANTIZERS
from quantizable.training import check_recipe, load_recipe, to_toml
from quantizable.training.recipe_file import write_recipe
from strategies import MODE_LISTS

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
DIGITS = next(path for path in RECIPES if path.name == "digits.toml")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)  # lone surrogates are no text
RATES = st.floats(1e-12, 1e12)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_names_what_exists(path):
    """Promise: recipes/ holds complete recipes; a recipe with another name would write to another folder than its own."""
    recipe = load_recipe(path)
    assert recipe.model.name in model_names()
    assert recipe.data.name in data_names()
    assert check_recipe(recipe.plain()) == recipe


@given(
    name=TEXTS,
    root=TEXTS,
    option=TEXTS,
    pattern=TEXTS,
    modes=MODE_LISTS,
    family=st.sampled_from(sorted(QUANTIZERS)),
    rates=st.tuples(RATES, RATES),
    is_none=st.booleans(),
    flip=st.none() | st.booleans(),
    options=st.dictionaries(TEXTS, st.integers(-(2**63), 2**63 - 1) | st.floats(-1e300, 1e300) | TEXTS | st.booleans(), max_size=3),
)
def test_what_is_written_is_read_back(name, root, option, pattern, modes, family, rates, is_none, flip, options):
    """Promise: to_toml writes every value so that load_recipe gives an equal recipe, None included, whatever the texts are."""
    values = {
        "name": name,
        "model": {"name": "digits_net", "options": {option: 1, **options}},
        "data": {"name": "npz", "root": root, "flip": flip, "mean": [0.1, 0.2], "std": [rates[0], 1.0]},
        "quantize": {"modes": modes, "quantizers": [[pattern, family]], "keep_float": [pattern], "first_bits": None if is_none else 3},
        "loss": {"weights": dict.fromkeys(modes, rates[0])},
        "train": {"epochs": 3, "lr": rates[0], "step_lr": None if is_none else rates[1], "step_lr_by_bits": {2: rates[1]}},
    }
    recipe = check_recipe(values)
    text = to_toml(recipe)
    path = Path("recipe.toml")
    assert read_back(text, path) == recipe


def read_back(text, path):
    """What load_recipe makes of a file with this text."""
    import tomllib

    return check_recipe(tomllib.loads(text), where=str(path))


def test_a_table_of_modes_is_read_back(tmp_path):
    """Promise: exceptions by layer survive the file."""
    recipe = load_recipe(DIGITS, ['quantize.modes={fp32={}, "w4a4:wide"={"conv*"="w8a4", linear=2}}'])
    write_recipe(recipe, tmp_path / "r.toml")
    assert load_recipe(tmp_path / "r.toml") == recipe


@pytest.mark.parametrize(
    ("word", "section", "key", "value"),
    [
        ("train.lr=0.1", "train", "lr", 0.1),
        ("train.epochs=0", "train", "epochs", 0),
        ('quantize.modes=["fp32","w4a4"]', "quantize", "modes", ["fp32", "w4a4"]),
        ("quantize.modes=fp32,w4a4", "quantize", "modes", ["fp32", "w4a4"]),
        ("quantize.first_bits=none", "quantize", "first_bits", None),
        ("data.root=/some where/it's.npz", "data", "root", "/some where/it's.npz"),
        ("data.root=a=b", "data", "root", "a=b"),
        ("model.options.width=2", "model", "options", {"width": 2}),
        ("train.tensorboard=true", "train", "tensorboard", True),
        ("loss.weights.w1a1=0.5", "loss", "weights", {"w1a1": 0.5}),
    ],
)
def test_a_word_replaces_a_key(word, section, key, value):
    """Promise: any key, values as in TOML, or bare text as a shell passes it."""
    assert getattr(getattr(load_recipe(DIGITS, [word]), section), key) == value


def test_later_words_win_and_sections_may_be_new():
    """Promise: words apply in order; a section that the file lacks is made."""
    recipe = load_recipe(DIGITS, ["train.lr=1", "train.lr=2", "seed=7"])
    assert (recipe.train.lr, recipe.seed) == (2.0, 7)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("train.lr", "an override is written section.key=value"),
        ("=3", "an override is written"),
        (".lr=3", "an override is written"),
        ("train.=3", "an override is written"),
        ("name.x=3", "'name' is a value, not a section"),
        ("train.lr=fast", "train.lr: .*number.*found 'fast'"),
        ("train.lr=", "train.lr: .*number.*found ''"),
        ("trian.lr=1", "no key 'trian'; the nearest name is 'train'"),
        ("train.l=1", "no key 'train.l'; the nearest name is 'lr'"),
    ],
)
def test_a_wrong_word_is_told(word, words):
    """Promise: one line."""
    with pytest.raises(RecipeError, match=words):
        load_recipe(DIGITS, [word])


def test_files_that_cannot_be_read_are_told(tmp_path):
    """Promise: missing, a folder, not TOML, not text: one line with the path."""
    (tmp_path / "bad.toml").write_text("name = \n")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name, words in (("none.toml", "No such file"), (".", "directory"), ("bad.toml", "not TOML"), ("binary.toml", "not TOML")):
        with pytest.raises(RecipeError, match=words) as caught:
            load_recipe(tmp_path / name)
        assert str(tmp_path) in str(caught.value)
