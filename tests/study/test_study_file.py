"""Study files: what they may say, and one clear line for each way to be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantizable.errors import RecipeError
from quantizable.study import load_study, make_grid

REPOSITORY = Path(__file__).parents[2]
WRONG = {
    "a key misspelt": ("seed = [0]", "no key 'seed'; the nearest name is 'seeds'"),
    "no seeds": ("seeds = []", "seeds: "),
    "a seed twice": ("seeds = [1, 2, 1]", "seeds: 1 stands in the list 2 times"),
    "no variants": ("variants = {}", "variants: "),
    "a start that is none": ('start = "flaot"', "no variant 'flaot'; the nearest name is 'float'"),
    "a variant's start that is none": ("variants.shared = {start = 'x'}", "variants.shared.start: no variant 'x'"),
    "a circle": ("variants.float = {start = 'shared'}", "begins with itself"),
    "an unknown step": ("after = ['calibrat:w3a3']", "no step 'calibrat'; the nearest name is 'calibrate'"),
    "a step without modes": ("after = ['calibrate']", "needs modes"),
    "a step with a wrong mode": ("after = ['calibrate:w9a3']", "weight bits must be 1 to 8, found 9"),
    "modes for a step that takes none": ("after = ['re-estimate:w3a3']", "takes no modes"),
    "an override without quotes": ("variants.shared = {loss = {teacher = 'next'}}", 'in quotes, "loss.teacher"'),
    "a variant's key misspelt": ("variants.shared = {aftr = []}", "no key 'aftr'; the nearest name is 'after'"),
    "a name that is no folder": ("variants = {'../x' = {}}", "'../x' is no name of a folder"),
    "a baseline that is none": ("report = {baseline = 'x'}", "report.baseline: no variant 'x'"),
    "an unknown word": ("report = {titel = 'x'}", "no key 'report.titel'; the nearest name is 'title'"),
}
WHOLE = {"recipe": "'base.toml'", "seeds": "[0]", "start": "'float'", "variants": "{float = {}, shared = {}}"}


@pytest.mark.parametrize("way", WRONG)
def test_a_wrong_study_is_one_line_that_names_it(way, tmp_path):
    """Promise: checked before anything starts, the file first, suggestions for typos."""
    line, message = WRONG[way]
    key = line.partition(" =")[0]
    keys = {**WHOLE, "variants": "{float = {}}"} if key.startswith("variants.") and "float" not in key else dict(WHOLE)
    if key.startswith("variants."):
        name = key.removeprefix("variants.")
        others = "float = {}" if name != "float" else "shared = {}"
        keys["variants"] = f"{{{others}, {name} = {line.partition(' = ')[2]}}}"
    else:
        keys[key] = line.partition(" = ")[2]
    path = tmp_path / "study.toml"
    path.write_text("\n".join(f"{name} = {text}" for name, text in keys.items()))
    with pytest.raises(RecipeError) as caught:
        load_study(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_study_that_is_missing_or_no_toml_says_so(tmp_path):
    """Promise: one clear line."""
    with pytest.raises(RecipeError, match="cannot be read"):
        load_study(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("recipe = ")
    with pytest.raises(RecipeError, match="not TOML"):
        load_study(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_text("seeds = [0]\nvariants = {a = {}}")
    with pytest.raises(RecipeError, match="key 'recipe' is missing"):
        load_study(tmp_path / "bad.toml")


@pytest.mark.parametrize("path", sorted((REPOSITORY / "studies").glob("*.toml")), ids=lambda path: path.stem)
def test_the_studies_of_the_project_make_grids(path):
    """Promise: every committed study is right down to the last override, and starts from one float network a seed."""
    grid = make_grid(path)
    assert len(grid.runs) == len(grid.study.seeds) * len(grid.study.variants)
    assert any(run.is_start for run in grid.runs)
    assert grid.study.report.title
    assert grid.study.report.compared
