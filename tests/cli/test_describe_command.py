"""quantizable describe: of a run, a recipe, and a network by name."""

from __future__ import annotations

import pytest
from run_words import DIGITS

from quantizable.cli import main


def described(capsys, *words) -> list[list[str]]:
    capsys.readouterr()
    assert main(["describe", *map(str, words)]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def row(rows, layer) -> list[str]:
    """The row of one layer."""
    (found,) = [each for each in rows if each[0] == layer]
    return found


@pytest.mark.parametrize("inside", ["", "checkpoint"])
def test_a_run_shows_its_layers_in_its_modes(finished, capsys, inside):
    """Promise: a row a layer, a column a mode, what became of it and why."""
    rows = described(capsys, finished / inside)
    assert rows[0] == ["layer", "class", "fp32", "w4a4", "w1a1", "became"]
    assert row(rows, "conv2")[:5] == ["conv2", "Conv2d", "float", "w4a4", "w1a1"]
    assert row(rows, "conv1")[5:7] == ["first", "layer,"]
    assert rows[-1][:3] == ["4", "layers", "quantized,"]


def test_a_recipe_shows_what_it_would_train(finished, capsys):
    """Promise: as its data would make it; or without data, from --example and --classes."""
    rows = described(capsys, DIGITS, "--modes", "fp32,w4a4,w1a1")
    assert rows == described(capsys, finished)
    assert rows == described(capsys, DIGITS, "--modes", "fp32,w4a4,w1a1", "--example", "2,1,8,8", "--classes", "10")


def test_a_recipe_without_its_data_needs_example_and_classes(finished, tmp_path, capsys, fails):
    """Promise: the data's own error, which --example and --classes avoid."""
    text = (finished / "recipe.toml").read_text().replace('name = "digits"', f'name = "npz"\nroot = "{tmp_path}/none.npz"')
    (tmp_path / "r.toml").write_text(text)
    assert "none.npz" in fails("describe", tmp_path / "r.toml")
    rows = described(capsys, tmp_path / "r.toml", "--example", "2,1,8,8", "--classes", "3")
    assert row(rows, "conv2")[2:5] == ["float", "w4a4", "w1a1"]


def test_a_network_by_name_is_converted(capsys):
    """Promise: any name that recipes know, or package.module:factory."""
    rows = described(capsys, "resnet8", "--modes", "32,4", "--example", "2,3,32,32")
    assert rows[0] == ["layer", "class", "fp32", "w4a4", "became"]
    wanted = ["layer1.0.conv1", "Conv2d", "float", "w4a4", "nested,", "one", "unit", "with", "layer1.0.bn1"]
    assert row(rows, "layer1.0.conv1") == wanted
    assert described(capsys, "quantizable.models:DigitsNet")[0][2:6] == ["fp32", "w8a8", "w4a4", "w2a2"]


def test_bad_input_is_one_line_and_2(finished, tmp_path, fails):
    """Promise: unknown names, missing paths, wrong modes and shapes, options that have no use."""
    assert "no network has this name; the nearest is 'resnet20'" in fails("describe", "resnet200")
    assert "no such folder" in fails("describe", tmp_path / "none")
    assert "cannot be read" in fails("describe", tmp_path / "none.toml")
    assert "cannot import" in fails("describe", "nowhere:net")
    assert "found 9" in fails("describe", "resnet8", "--modes", "w9a9")
    assert "write for example 1,3,32,32" in fails("describe", "resnet8", "--example", "1,x")
    assert "does not take this shape" in fails("describe", "resnet8", "--example", "2,5,32,32")
    assert "does not take this shape" in fails("describe", "resnet8", "--example", "7")
    assert "num_classes must be 1 or more" in fails("describe", "resnet8", "--classes", "0")
    assert "--modes: is for a model by name" in fails("describe", finished, "--modes", "w4a4")
