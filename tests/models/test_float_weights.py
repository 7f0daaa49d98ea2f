"""Float weights: the published files fit name by name; whatever does not fit is told in one line and changes nothing."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from quantizable.data import Loader, load_data
from quantizable.errors import CheckpointError
from quantizable.models import build, load_float_weights

PUBLISHED = [
    ("resnet20", "resnet20-12fca82f.th", 10),
    ("resnet32", "resnet32-d509ac18.th", 10),
    ("resnet44", "resnet44-014dd654.th", 10),
    ("resnet56", "resnet56-4bfd9763.th", 10),
    ("resnet8_cifar100", "resnet8_cifar100.pth", 100),
    ("resnet20_cifar100", "resnet20_cifar100.pth", 100),
    ("resnet32_cifar100", "resnet32_cifar100.pth", 100),
]


def small() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 4))


def other() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 4))


@pytest.mark.parametrize(("name", "file", "classes"), PUBLISHED)
def test_published_weights_fit_name_by_name(data_folder: Path, name: str, file: str, classes: int) -> None:
    """Nothing missing, nothing new, and the numbers are those of the file."""
    path = data_folder / "weights" / file
    if not path.is_file():
        pytest.skip(f"no {path}")
    network = build(name, num_classes=classes)
    report = load_float_weights(network, path)
    assert report.is_complete
    stored = torch.load(path, map_location="cpu", weights_only=True)
    stored = stored.get("state_dict", stored.get("model_state_dict"))
    assert torch.equal(network.conv1.weight, stored["module.conv1.weight"])
    assert torch.equal(network.linear.bias, stored["module.linear.bias"])


def test_resnet20_classifies_real_images(data_folder: Path) -> None:
    """455 of the first 500 test images: 91.0 %, as the network that published 91.73 % on all 10,000 does."""
    images, weights = os.environ.get("QUANTIZABLE_CIFAR10_NPZ"), data_folder / "weights" / "resnet20-12fca82f.th"
    if not images or not weights.is_file():
        pytest.skip(f"needs QUANTIZABLE_CIFAR10_NPZ (a cifar10.npz) and {weights}")
    splits = load_data("cifar10", root=Path(images)).normalized_by((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert splits.test is not None
    network = build("resnet20", num_classes=10).eval()
    load_float_weights(network, weights)
    with torch.inference_mode():
        hits = sum(int((network(x).argmax(1) == y).sum()) for x, y in Loader.in_order(splits.test.subset(np.arange(500)), batch_size=250))
    assert abs(hits - 455) <= 1  # one image may sit on a border between two machines


@pytest.mark.parametrize("wrap", ["bare", "state_dict", "model_state_dict", "module."])
@pytest.mark.parametrize("ending", [".pt", ".pth", ".th", ".safetensors"])
def test_wrappers_and_endings_are_understood(tmp_path: Path, wrap: str, ending: str) -> None:
    """Every form of file gives the same network."""
    state = other().state_dict()
    path = tmp_path / f"net{ending}"
    if wrap == "module.":
        state = {f"module.{name}": value for name, value in state.items()}
    if ending == ".safetensors":
        save_file(state, path)
    else:
        torch.save({wrap: state, "epoch": 3} if wrap.endswith("dict") else state, path)
    network = small()
    assert load_float_weights(network, path).is_complete
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), other().state_dict().values(), strict=True))


def test_what_does_not_fit_is_reported(tmp_path: Path) -> None:
    """Missing names keep their weights, new ones are not used; counters of norms may be absent."""
    state = {name: value for name, value in other().state_dict().items() if name not in ("2.bias", "1.num_batches_tracked")}
    torch.save(state | {"head.weight": torch.zeros(2)}, tmp_path / "net.pt")
    network = small()
    before = network.state_dict()["2.bias"].clone()
    report = load_float_weights(network, tmp_path / "net.pt")
    assert (report.missing, report.new, len(report.loaded)) == (("2.bias",), ("head.weight",), 7)  # of 9
    assert str(report) == "7 loaded, 1 missing (2.bias), 1 new (head.weight)"
    assert torch.equal(network.state_dict()["2.bias"], before)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file_is_one_line_and_changes_nothing(tmp_path: Path, legacy: bool) -> None:
    """Cut at many places, old and new form of torch's files."""
    torch.save(other().state_dict(), tmp_path / "net.pt", _use_new_zipfile_serialization=not legacy)
    raw = (tmp_path / "net.pt").read_bytes()
    network = small()
    for size in [*range(0, len(raw), 101), len(raw) - 1]:
        (tmp_path / "cut.pt").write_bytes(raw[:size])
        with pytest.raises(CheckpointError, match=r"cut\.pt: ") as caught:
            load_float_weights(network, tmp_path / "cut.pt")
        assert "\n" not in str(caught.value)
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), small().state_dict().values(), strict=True))


def test_a_truncated_safetensors_file_is_one_line(tmp_path: Path) -> None:
    """At every length."""
    save_file({"a": torch.zeros(3)}, tmp_path / "net.safetensors")
    raw = (tmp_path / "net.safetensors").read_bytes()
    for size in range(len(raw)):
        (tmp_path / "cut.safetensors").write_bytes(raw[:size])
        with pytest.raises(CheckpointError, match="not a whole file of plain weights"):
            load_float_weights(small(), tmp_path / "cut.safetensors")


class _Attack:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(_Attack.mark),)

    mark = Path()


def test_a_file_that_calls_the_system_is_refused_and_not_run(tmp_path: Path) -> None:
    """Weights are data."""
    _Attack.mark = tmp_path / "attacked"
    (tmp_path / "net.pt").write_bytes(pickle.dumps(_Attack(), protocol=2))
    torch.save({"state_dict": _Attack()}, tmp_path / "zip.pt")
    for name in ("net.pt", "zip.pt"):
        with pytest.raises(CheckpointError, match="not a whole file of plain weights"):
            load_float_weights(small(), tmp_path / name)
    assert not _Attack.mark.exists()


def test_unrelated_files_are_told_apart(tmp_path: Path) -> None:
    """No common name, another shape, no tensors, another ending, no file: each its line, and the network stays."""
    network = small()
    torch.save({"a": torch.zeros(1)}, tmp_path / "names.pt")
    torch.save(other().state_dict() | {"2.weight": torch.zeros(5, 3)}, tmp_path / "shape.pt")
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    (tmp_path / "net.h5").write_bytes(b"")
    for file, words in (
        ("names.pt", "none of its 1 names is one of the network's 9 .first there 'a', here '0.weight'"),
        ("shape.pt", r"'2\.weight' has shape \(5, 3\), the network's has \(4, 3\)"),
        ("none.pt", "holds a dict without named tensors"),
        ("list.pt", "holds a list without named tensors"),
        ("net.h5", r"unknown kind of file '\.h5'"),
        ("absent.pt", "no such file"),
    ):
        with pytest.raises(CheckpointError, match=words):
            load_float_weights(network, tmp_path / file)
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), small().state_dict().values(), strict=True))
