"""Checkpoints: equal outputs after a round trip, whole files or none, and one clear error for every way of being wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from nets import MODES, SkipNet, calibrated, differing, images, outputs, seeded, skip_net
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import quantizable as qz
from quantizable.errors import CheckpointError
from quantizable.network import QUANTIZERS, Plan, checksum, conversion_of

FILE = "model.safetensors"


@pytest.mark.parametrize("family", list(QUANTIZERS))
@pytest.mark.parametrize("norms", ["per_mode", "shared"])
def test_outputs_are_equal_in_every_mode_after_a_round_trip(family: str, norms: str, tmp_path: Path) -> None:
    """save and load: every family, labels and per-layer bits, plan and structure; tensors equal bit for bit."""
    modes = {"fp32": {}, "w8a8": {}, "w4a4:mixed": {"conv2": "w6a3"}, "w1a1": {}}
    plan = Plan(family, quantizers=(("fc", "lsq"),), last_bits=None, keep_float=("shortcut*",), norms=norms)  # type: ignore[arg-type]
    network = calibrated(skip_net(), images(), modes, plan=plan)
    qz.save(network, tmp_path / "deep" / "folder")
    loaded = qz.load(tmp_path / "deep" / "folder", skip_net(seed=9)).eval()
    assert qz.modes_of(loaded) == qz.modes_of(network)
    assert conversion_of(loaded).plan == conversion_of(network).plan
    assert conversion_of(loaded).structure == conversion_of(network).structure
    assert checksum(loaded) == checksum(network)
    assert differing(outputs(loaded, images()), outputs(network, images())) == []
    assert qz.describe(loaded) == qz.describe(network)


def test_a_folder_holds_two_readable_files_and_nothing_executable(tmp_path: Path) -> None:
    """No pickle: safetensors and JSON; the JSON is for people and is never read."""
    qz.save(calibrated(skip_net(), images()), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, "quantizable.json"]
    assert list(json.loads((tmp_path / "quantizable.json").read_text())["modes"]) == sorted(MODES)
    (tmp_path / "quantizable.json").write_text("not JSON at all")
    qz.load(tmp_path, skip_net())


def test_what_was_saved_does_not_depend_on_the_mode_or_view(tmp_path: Path) -> None:
    """A view saves the network that it views; the network keeps its mode."""
    network = calibrated(skip_net(), images())
    qz.set_mode(network, 4)
    qz.save(network, tmp_path / "network")
    qz.save(qz.at(network, 1), tmp_path / "view")
    assert qz.get_mode(network) == "w4a4"
    assert (tmp_path / "network" / FILE).read_bytes() == (tmp_path / "view" / FILE).read_bytes()


def test_shared_tensors_are_stored_once(tmp_path: Path) -> None:
    """Layers that share a quantizer, and modules at two places."""
    layer = nn.Linear(6, 6)
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    network = calibrated(seeded(nn.Sequential(layer, nn.ReLU(), layer)).eval(), x)
    qz.save(network, tmp_path)
    assert len(load_file(tmp_path / FILE)) < len(network.state_dict())
    other = nn.Linear(6, 6)
    loaded = qz.load(tmp_path, nn.Sequential(other, nn.ReLU(), other)).eval()
    assert loaded[0] is loaded[2]
    assert differing(outputs(loaded, x), outputs(network, x)) == []


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    """Bad input: a truncated checkpoint is a CheckpointError and nothing else, wherever it was cut."""
    qz.save(calibrated(skip_net(), images(), (32, 4)), tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    net = skip_net()
    for length in [*range(0, 64), *range(64, len(whole), len(whole) // 40), len(whole) - 1]:
        (tmp_path / FILE).write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"model\.safetensors: truncated or damaged .*; copy it again"):
            qz.load(tmp_path, net)
    (tmp_path / FILE).write_bytes(whole)
    qz.load(tmp_path, net)


def test_a_damaged_header_is_refused(tmp_path: Path) -> None:
    """A changed byte in the header, and one byte too many behind."""
    qz.save(calibrated(skip_net(), images(), (32, 4)), tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    size = int.from_bytes(whole[:8], "little")
    for place in range(8, size, size // 60):
        (tmp_path / FILE).write_bytes(whole[:place] + b"\0" + whole[place + 1 :])
        with pytest.raises(CheckpointError):
            qz.load(tmp_path, skip_net())
    (tmp_path / FILE).write_bytes(whole + b"\0")
    with pytest.raises(CheckpointError):
        qz.load(tmp_path, skip_net())


def _with_summary(folder: Path, **changes: object) -> None:
    """Rewrite a checkpoint with parts of its description changed; None takes a part away."""
    from safetensors import safe_open

    with safe_open(folder / FILE, framework="pt") as file:
        summary = json.loads(file.metadata()["quantizable"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    summary.update(changes)
    save_file(tensors, folder / FILE, {"quantizable": json.dumps({k: v for k, v in summary.items() if v is not None})})


LIES: dict[str, tuple[dict[str, object], str]] = {
    "no modes": ({"modes": None}, "holds no quantizable network"),
    "no plan": ({"plan": None}, "holds no quantizable network"),
    "a newer format": ({"format": 99}, "format 99, this version reads 1; update quantizable"),
    "modes of another type": ({"modes": ["fp32"]}, "its description of the network cannot be read"),
    "a mode that is none": ({"modes": {"w9a9": {}}}, "weight bits must be 1 to 8"),
    "bits that are none": ({"modes": {"w4a4": {"fc": "w0a0"}}}, "weight bits must be 1 to 8"),
    "no modes at all": ({"modes": {}}, "the list is empty"),
    "a plan from elsewhere": ({"plan": {"quantizer": "magic"}}, "no quantizer 'magic'"),
    "a plan of another type": ({"plan": 7}, "its description of the network cannot be read"),
    "a structure of another type": ({"structure": {"first": "conv1"}}, "its description of the network cannot be read"),
    "layers that are not there": (
        {"structure": {"first": "stem", "last": "fc", "norms": [], "shared_inputs": [], "relus_read_by_layers_only": []}},
        "does not fit SkipNet, which has no 'stem'; build the network it was saved from",
    ),
    "norms that are none": (
        {"structure": {"first": "conv1", "last": "fc", "norms": [["conv1", "relu"]], "shared_inputs": [], "relus_read_by_layers_only": []}},
        "does not fit SkipNet",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_description_that_lies_is_refused(lie: str, tmp_path: Path) -> None:
    """A valid safetensors file whose JSON is wrong: CheckpointError, with what was found."""
    changes, message = LIES[lie]
    qz.save(calibrated(skip_net(), images(), (32, 4)), tmp_path)
    _with_summary(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message):
        qz.load(tmp_path, skip_net())


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """Somebody else's safetensors file, text, an empty file, a folder, and nothing at all."""
    with pytest.raises(CheckpointError, match=r"no such file; a checkpoint folder holds model\.safetensors"):
        qz.load(tmp_path, skip_net())
    for write in (
        lambda path: save_file({"weight": torch.ones(2)}, path),
        lambda path: save_file({"weight": torch.ones(2)}, path, {"quantizable": "[]"}),
        lambda path: save_file({"weight": torch.ones(2)}, path, {"quantizable": "{not json"}),
        lambda path: path.write_text("hello"),
        lambda path: path.write_bytes(b""),
        lambda path: torch.save({"weight": torch.ones(2)}, path),
    ):
        write(tmp_path / FILE)
        with pytest.raises(CheckpointError, match=r"holds no quantizable network|truncated or damaged"):
            qz.load(tmp_path, skip_net())
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(CheckpointError, match="no such file"):
        qz.load(tmp_path, skip_net())


class OtherHead(SkipNet):
    """The same names, another shape."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 7)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: nn.Sequential(nn.Linear(3, 3)), r"does not fit Sequential, which has no '[a-z0-9.]+'; build the network it was saved from"),
    (OtherHead, r"fc\.\S* has shape \(5.*, the network's is \(7.*; build the network it was saved from"),
])  # fmt: skip
def test_another_architecture_is_refused(make: Any, message: str, tmp_path: Path) -> None:
    """Errors: what the file has that the network lacks, or the two shapes; the float network given is not changed."""
    qz.save(calibrated(skip_net(), images()), tmp_path)
    net = make()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        qz.load(tmp_path, net)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("fails", ["replace", "fsync", "write"])
def test_an_interrupted_save_leaves_the_old_file(fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never half-written: the old checkpoint stays whole, and nothing else stays behind."""
    network = calibrated(skip_net(), images())
    qz.save(network, tmp_path)
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    with torch.no_grad():
        network.fc.weight.add_(1)
    with monkeypatch.context() as patch:
        if fails == "write":
            patch.setattr("quantizable.network.checkpoint.save_file", fail)
        else:
            patch.setattr(os, fails, fail)
        with pytest.raises(OSError, match="no space left"):
            qz.save(network, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old
    qz.save(network, tmp_path)
    assert (tmp_path / FILE).read_bytes() != old[FILE]


def test_a_file_in_the_way_of_the_folder_is_refused(tmp_path: Path) -> None:
    """Errors: the folder's name is taken."""
    (tmp_path / "taken").write_text("mine")
    network = qz.convert(skip_net(), MODES)
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(CheckpointError, match="a file is in the way of the folder; name another folder"):
            qz.save(network, folder)
    assert (tmp_path / "taken").read_text() == "mine"


def test_state_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    """A module's extra state would need pickle."""

    class Extra(nn.Linear):
        def get_extra_state(self) -> object:
            return {"a": 1}

    network = qz.convert(nn.Sequential(Extra(3, 3)), MODES)
    with pytest.raises(CheckpointError, match=r"0\._extra_state is a dict, only tensors are saved"):
        qz.save(network, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_float_checkpoint_loads_with_a_report() -> None:
    """Issue: loaded, missing and new names; ranges and norms of integer modes start again from the loaded values."""
    network = calibrated(skip_net(), images())
    other = skip_net(seed=5)
    state = {name: tensor for name, tensor in other.state_dict().items() if not name.startswith("fc")} | {"head.weight": torch.ones(2)}
    report = qz.load_float(network, state)
    assert report.missing == ("fc.weight", "fc.bias")
    assert report.new == ("head.weight",)
    assert set(report.loaded) == set(state) - {"head.weight"}
    assert str(report) == f"{len(state) - 1} loaded, 2 missing ['fc.weight', 'fc.bias'], 1 new ['head.weight']"
    fresh = qz.convert(other, MODES).state_dict()
    for name, tensor in network.state_dict().items():
        if "input_quantizers" not in name and not name.startswith("fc"):
            assert torch.equal(tensor, fresh[name]), name
    assert torch.equal(network.conv1.weight, other.conv1.weight)


@pytest.mark.parametrize(
    "state", [{}, {"module.conv1.weight": torch.ones(8, 3, 3, 3)}, {"conv1.weight_quantizer.channel_range": torch.ones(8)}]
)
def test_a_float_checkpoint_that_fits_nothing_is_refused(state: dict[str, Tensor]) -> None:
    """Errors: prefixes of wrappers are the usual cause."""
    with pytest.raises(CheckpointError, match=r"none of its \d names fits SkipNet; strip prefixes such as 'module\.'"):
        qz.load_float(qz.convert(skip_net(), MODES), state)


def test_a_float_checkpoint_of_another_shape_is_refused_before_anything_is_written() -> None:
    """Errors: both shapes are shown, and the network stays as it was."""
    network = qz.convert(skip_net(), MODES)
    before = checksum(network)
    state = skip_net(seed=3).state_dict() | {"fc.weight": torch.ones(7, 12)}
    with pytest.raises(CheckpointError, match=r"fc\.weight has shape \(7, 12\), the network's is \(5, 12\)"):
        qz.load_float(network, state)
    assert checksum(network) == before
