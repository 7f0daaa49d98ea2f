"""The state of a run: what was saved comes back, layouts included, and damaged files are refused."""

from __future__ import annotations

import pytest
import torch
from small_networks import make_network

from quantizable.errors import CheckpointError
from quantizable.training import make_optimizer, multi_mode_backward, parameter_groups
from quantizable.training.averaging import start_average, update_average
from quantizable.training.state import STATE_FILE, Position, load_state, remove_state, save_state


def start(images, *, name="adam", **keys):
    """Network, optimizer and average as the loop makes them; weights channels_last, as there."""
    network = make_network(images, **keys).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(name, parameter_groups(network, lr=0.01, weight_decay=0.01), lr=0.01)
    return network, optimizer, start_average(network)


def steps(parts, batch, count):
    network, optimizer, average = parts
    for step in range(count):
        optimizer.zero_grad()
        multi_mode_backward(network, *batch)
        optimizer.step()
        update_average(average, network, decay=0.9, step=step)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_going_on_from_a_state_gives_the_same_numbers(tmp_path, batch, name):
    """Promise: bit for bit as without the break. Fused optimizers read weights and their state in the order of memory, so a
    state that came back in another layout would go on silently wrong."""
    straight = start(batch[0], name=name)
    steps(straight, batch, 2)
    save_state(tmp_path, Position(step=2, loss_sums={"fp32": 0.1}), *straight)
    steps(straight, batch, 2)
    resumed = start(batch[0], name=name)
    assert load_state(tmp_path, *resumed) == Position(step=2, loss_sums={"fp32": 0.1})
    steps(resumed, batch, 2)
    for one, other in zip(straight[0].state_dict().items(), resumed[0].state_dict().items(), strict=True):
        assert torch.equal(one[1], other[1]), one[0]
    assert all(torch.equal(straight[2][key], resumed[2][key]) for key in straight[2])


def test_a_new_state_replaces_the_old_and_leaves_nothing_else(tmp_path, batch):
    """Promise: one file, replaced whole; what a killed writer left is gone after the next."""
    parts = start(batch[0])
    (tmp_path / f".{STATE_FILE}.partial").write_bytes(b"half")
    save_state(tmp_path, Position(step=1), *parts)
    save_state(tmp_path, Position(step=2), *parts)
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]
    assert load_state(tmp_path, *parts).step == 2
    (tmp_path / f".{STATE_FILE}.partial").write_bytes(b"half")
    remove_state(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_state(tmp_path, batch, monkeypatch):
    """Promise: no half-written file, whatever goes wrong."""
    parts = start(batch[0])
    save_state(tmp_path, Position(step=1), *parts)

    def fails(*args):
        raise OSError("disk full")

    monkeypatch.setattr("quantizable.training.state.os.fsync", fails)
    with pytest.raises(OSError, match="disk full"):
        save_state(tmp_path, Position(step=2), *parts)
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]
    assert load_state(tmp_path, *parts).step == 1


def test_a_truncated_state_is_refused_and_changes_nothing(tmp_path, batch):
    """Promise: cut anywhere, the line says what to do and the network stays as it was."""
    parts = start(batch[0])
    save_state(tmp_path, Position(), *parts)
    content = (tmp_path / STATE_FILE).read_bytes()
    before = {name: tensor.clone() for name, tensor in parts[0].state_dict().items()}
    for size in (0, 4, 8, 100, len(content) // 2, len(content) - 1):
        (tmp_path / STATE_FILE).write_bytes(content[:size])
        with pytest.raises(CheckpointError, match=r"state.safetensors: truncated or damaged .*; remove it to start the run again"):
            load_state(tmp_path, *parts)
    assert all(torch.equal(tensor, before[name]) for name, tensor in parts[0].state_dict().items())


@pytest.mark.parametrize("modes", [("fp32", "w8a8"), ("fp32", "w8a8", "w2a2", "w1a1", "w4a4")])
def test_a_state_of_another_network_is_refused(tmp_path, batch, modes):
    """Promise: names and shapes are compared before anything is copied."""
    save_state(tmp_path, Position(), *start(batch[0]))
    with pytest.raises(CheckpointError, match="belongs to another network"):
        load_state(tmp_path, *start(batch[0], modes=modes))


def test_a_foreign_file_is_refused(tmp_path, batch):
    """A safetensors file without our metadata is no state."""
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / STATE_FILE)
    with pytest.raises(CheckpointError, match="damaged"):
        load_state(tmp_path, *start(batch[0]))
