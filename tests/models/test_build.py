"""build: names, options, import paths, and one clear line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from quantizable.errors import RecipeError
from quantizable.models import CifarResNet, build, model_names


@pytest.mark.parametrize("name", model_names())
def test_every_name_builds_a_network(name: str) -> None:
    """The table holds no dead line, and the number of classes arrives."""
    with torch.device("meta"):
        network = build(name, num_classes=13)
    last = [m for m in network.modules() if isinstance(m, nn.Linear)][-1]
    assert last.out_features == 13


def test_options_arrive() -> None:
    """Width and shortcuts of the recipe."""
    network = build("resnet8", num_classes=10, width=2, dense_shortcuts=True)
    assert isinstance(network, CifarResNet)
    assert network.conv1.out_channels == 32
    assert type(network.layer1[0]).__name__ == "DenseBlock"


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's, on the path."""
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\n"
        "def good(num_classes, hidden=4, **rest):\n    return nn.Sequential(nn.Linear(3, hidden), nn.Linear(hidden, num_classes))\n"
        "def narrow(hidden=4):\n    return nn.Linear(3, hidden)\n"
        "def nothing(num_classes):\n    return None\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "own_nets"


def test_an_import_path_builds_anybodys_network(own_module: str) -> None:
    """A factory that takes num_classes."""
    network = build(f"{own_module}:good", num_classes=6, hidden=5)
    assert network(torch.zeros(1, 3)).shape == (1, 6)


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("own_nets:narrow", "takes no option 'num_classes'; it takes hidden"),
        ("own_nets:nothing", "the factory returned NoneType, not an nn.Module"),
        ("own_nets:absent", "module 'own_nets' has no 'absent'"),
        ("own_nets:number", "'number' is a int, not a function or class"),
        ("no_such_package:net", "cannot import 'no_such_package'"),
        (":net", "cannot import ''"),
    ],
)
def test_a_factory_that_does_not_fit_is_one_line(own_module: str, factory: str, words: str) -> None:
    """What was found, and what to mend."""
    with pytest.raises(RecipeError, match=words) as caught:
        build(factory, num_classes=6)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [("resnet-20", "the nearest is 'resnet20'"), ("digitsnet", "the nearest is 'digits_net'"), ("vit", "known are digits_net")],
)
def test_an_unknown_name_gets_the_nearest_and_the_list(name: str, words: str) -> None:
    """Advice is a statement."""
    with pytest.raises(RecipeError, match=words) as caught:
        build(name, num_classes=10)
    assert all(known in str(caught.value) for known in model_names())


def test_wrong_options_are_named() -> None:
    """An unknown one, one of another type, no classes at all."""
    with pytest.raises(RecipeError, match="takes no option 'wdith'; it takes num_classes, width, dense_shortcuts, in_channels"):
        build("resnet20", num_classes=10, wdith=2)
    with pytest.raises(RecipeError, match=r"cannot be built with .*'width': 'wide'"):
        build("resnet20", num_classes=10, width="wide")
    with pytest.raises(RecipeError, match="num_classes must be 1 or more, found 0"):
        build("resnet20", num_classes=0)
