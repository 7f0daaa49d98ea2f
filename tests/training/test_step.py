"""multi_mode_backward: one call inside anybody's loop gives the gradients of all modes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from small_networks import MODES, gradients, make_network
from torch import nn

import quantizable as qz
from quantizable.errors import DataError, ModeError
from quantizable.modes import parse_mode
from quantizable.network import modes_of
from quantizable.training import ConsistencyLoss, multi_mode_backward


def test_gradients_are_the_sum_of_the_gradients_of_each_mode(network, batch):
    """Promise: gradients of all modes add up in the same tensors; float32 sums of four terms in another order: 1e-5 of the largest."""
    images, labels = batch
    criterion = ConsistencyLoss("all", label_weight=0.5, temperature=2.0)
    result = multi_mode_backward(network, images, labels, criterion)
    found = gradients(network)
    total = {name: torch.zeros_like(gradient) for name, gradient in found.items()}
    predictions: dict[str, torch.Tensor] = {}
    for mode in modes_of(network):
        network.zero_grad()
        with qz.use_mode(network, mode):
            logits = network(images)
        criterion(logits, labels, mode, predictions).backward()
        predictions[mode.name] = logits.detach()
        for name, gradient in gradients(network).items():
            total[name] += gradient
    for name, gradient in total.items():
        assert torch.allclose(found[name], gradient, rtol=0, atol=1e-5 * float(gradient.abs().max() + 1e-6)), name
    assert list(result.losses) == list(MODES)
    assert torch.equal(result.predictions["w2a2"], predictions["w2a2"])
    assert float(result.loss) == pytest.approx(sum(map(float, result.losses.values())), rel=1e-6)


def test_results_hold_no_graph(network, batch):
    """Promise: memory is one mode's; nothing that is returned keeps a pass alive."""
    result = multi_mode_backward(network, *batch)
    assert not any(tensor.requires_grad for tensor in (*result.losses.values(), *result.predictions.values()))


def test_gradients_add_to_those_already_there(network, batch):
    """Promise: as any backward does; the caller zeroes."""
    multi_mode_backward(network, *batch, modes=["w1a1"])
    once = gradients(network)
    multi_mode_backward(network, *batch, modes=["w1a1"])
    for name, gradient in gradients(network).items():
        assert torch.allclose(gradient, 2 * once[name], rtol=1e-6, atol=0), name


def test_only_the_named_modes_run_from_the_highest_down(network, batch):
    """Promise: `modes` chooses, in any order; a mode that is left out gets no gradient for what it alone has."""
    result = multi_mode_backward(network, *batch, modes=[1, "fp32"])
    assert list(result.losses) == ["fp32", "w1a1"]
    unused = [name for name, p in network.named_parameters() if "w2a2" in name and p.grad is not None]
    assert unused == []
    assert any("w1a1" in name and p.grad is not None for name, p in network.named_parameters())


@pytest.mark.parametrize("before", ["fp32", "w2a2"])
def test_the_mode_is_as_before(network, batch, before):
    """Promise: restored after the step."""
    qz.set_mode(network, before)
    multi_mode_backward(network, *batch)
    assert qz.get_mode(network) == before


def test_the_mode_is_as_before_after_an_exception(network, batch):
    """Promise: restored also when a criterion raises in the middle."""

    def criterion(logits, labels, mode, predictions):
        if mode.name == "w2a2":
            raise ZeroDivisionError
        return logits.sum()

    qz.set_mode(network, "w8a8")
    with pytest.raises(ZeroDivisionError):
        multi_mode_backward(network, *batch, criterion)
    assert qz.get_mode(network) == "w8a8"


def test_a_step_in_low_modes_leaves_what_others_own(network, batch):
    """Promise: a low mode must not wreck the others: their norms' affine and statistics and their steps stay, bit for bit."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images, labels = batch
    multi_mode_backward(network, images + 1, labels, modes=["w1a1"])  # not the images of its calibration: their mean is there already
    optimizer.step()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    shared = {name for name in changed if "w1a1" not in name}
    assert shared <= {"conv1.weight", "conv2.weight", "conv3.weight", "linear.weight", "linear.bias"}
    assert any(name.endswith("running_mean") for name in changed)


@pytest.mark.parametrize(("label", "found"), [(3, "found 3"), (-1, "found -1")])
def test_a_label_out_of_range_is_told(network, batch, label, found):
    """Promise: one clear line instead of an index error deep in a kernel."""
    images, labels = batch
    labels[5] = label
    with pytest.raises(DataError, match=f"must be 0 to 2 for 3 outputs, {found}"):
        multi_mode_backward(network, images, labels)


def test_an_unknown_mode_is_told(network, batch):
    """Promise: a mode that is not one of the network's names those it has."""
    with pytest.raises(ModeError, match=r"w3a3.*fp32, w8a8, w2a2, w1a1"):
        multi_mode_backward(network, *batch, modes=["w3a3"])


def test_autocast_runs_the_float_parts_in_bfloat16(network, batch):
    """Promise: autocast changes the float mode's rounding and nothing of the kind: gradients stay float32 and close."""
    exact = multi_mode_backward(network, *batch, modes=["fp32"])
    network.zero_grad()
    rounded = multi_mode_backward(network, *batch, modes=["fp32"], autocast=torch.bfloat16)
    assert not torch.equal(exact.predictions["fp32"].float(), rounded.predictions["fp32"].float())
    assert float(rounded.losses["fp32"]) == pytest.approx(float(exact.losses["fp32"]), rel=0.05)
    assert all(p.grad.dtype == torch.float32 for p in network.parameters() if p.grad is not None)


def test_it_trains_in_anybodys_loop(batch):
    """Promise: zero, call, step: the loss of every mode falls."""
    images, labels = batch
    network = make_network(images)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        losses.append(multi_mode_backward(network, images, labels).losses)
        optimizer.step()
    assert all(float(losses[-1][mode]) < 0.7 * float(losses[0][mode]) for mode in MODES)


def test_the_loop_of_the_page_runs(batch):
    """docs/training.md, "In a loop of your own": the block as it stands there."""
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {"qz": qz, "qnet": make_network(batch[0], calibrated=False), "loader": [batch, batch]}
    exec(block, names)
    assert list(names["result"].losses) == list(MODES)


def test_norms_that_modes_share_train_too(batch):
    """plan.norms "shared": the losses fall, and all modes move one set of statistics."""
    images, labels = batch
    network = make_network(images, norms="shared")
    before = network.bn1.running_mean.clone()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    first = multi_mode_backward(network, images, labels).loss
    optimizer.step()
    assert not any("mode_norms" in name for name in network.state_dict())
    assert int(network.bn1.num_batches_tracked) == len(MODES)
    assert not torch.equal(network.bn1.running_mean, before)
    for _ in range(20):
        optimizer.zero_grad()
        last = multi_mode_backward(network, images, labels).loss
        optimizer.step()
    assert float(last) < 0.8 * float(first)


def test_a_criterion_of_ones_own_sees_mode_and_predictions(network, batch):
    """Promise: (logits, labels, mode, predictions of higher modes) -> loss."""
    seen = []

    def criterion(logits, labels, mode, predictions):
        seen.append((mode, list(predictions)))
        return nn.functional.cross_entropy(logits, labels)

    multi_mode_backward(network, *batch, criterion, modes=["fp32", "w2a2", "w1a1"])
    assert seen == [(parse_mode("fp32"), []), (parse_mode("w2a2"), ["fp32"]), (parse_mode("w1a1"), ["fp32", "w2a2"])]
