"""evaluate: exact counts, and a network that is as it was."""

from __future__ import annotations

import math

import pytest
import torch
from small_networks import MODES, make_network
from torch import nn

import quantizable as qz
from quantizable.errors import CalibrationError, DataError, ModeError
from quantizable.training import Accuracy, accuracy_table, evaluate


class Scripted(nn.Module):
    """Answers with its input as logits, through a layer that convert can take."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(7, 7, bias=False)
        with torch.no_grad():
            self.layer.weight.copy_(torch.eye(7))

    def forward(self, x):
        return self.layer(x)


def by_hand(logits, labels):
    """Accuracy from sorting every row in plain Python."""
    top1 = top5 = loss = 0.0
    for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda i: -row[i])
        top1 += order[0] == label
        top5 += label in order[:5]
        loss += math.log(sum(math.exp(value) for value in row)) - row[label]
    n = len(labels)
    return 100 * top1 / n, 100 * top5 / n, loss / n, n


@pytest.mark.parametrize("sizes", [[1], [5, 5, 3], [13]])
def test_counts_are_exact(sizes):
    """Promise: top-1, top-5 and the mean loss of a loop by hand, whatever the batches are."""
    generator = torch.Generator().manual_seed(0)
    batches = [(3 * torch.randn(n, 7, generator=generator), torch.randint(7, (n,), generator=generator)) for n in sizes]
    found = evaluate(qz.convert(Scripted(), ["fp32"]), batches)["fp32"]
    top1, top5, loss, n = by_hand(torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]))
    assert (found.top1, found.top5, found.n) == (top1, top5, n)
    assert found.loss == pytest.approx(loss, rel=1e-6)


def test_every_mode_is_measured_as_the_network_in_that_mode(network, batch):
    """Promise: one figure a mode, from the highest down, equal to setting the mode by hand in evaluation."""
    images, labels = batch
    found = evaluate(network, [(images, labels)])
    assert list(found) == list(MODES)
    network.eval()
    for mode, accuracy in found.items():
        with torch.no_grad(), qz.use_mode(network, mode):
            top1, top5, loss, _ = by_hand(network(images), labels)
        assert (accuracy.top1, accuracy.top5, accuracy.loss) == (top1, 100.0, pytest.approx(loss, rel=1e-6))
        assert top5 == 100.0  # three classes


def test_modes_are_chosen_by_name(network, batch):
    """Promise: any order in, the highest first out; an unknown one is told."""
    assert list(evaluate(network, [batch], modes=[1, "fp32"])) == ["fp32", "w1a1"]
    with pytest.raises(ModeError, match="w5a5"):
        evaluate(network, [batch], modes=["w5a5"])
    with pytest.raises(ModeError, match="empty"):
        evaluate(network, [batch], modes=[])


def test_mode_flags_and_statistics_are_as_before(network, batch):
    """Promise: nothing moves, also after an exception in the middle."""
    qz.set_mode(network, "w2a2")
    network.bn2.eval()  # a part that somebody froze
    flags = {name: module.training for name, module in network.named_modules()}
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def failing():
        yield batch
        raise OSError("disk")

    evaluate(network, [batch])
    with pytest.raises(OSError, match="disk"):
        evaluate(network, failing())
    assert qz.get_mode(network) == "w2a2"
    assert flags == {name: module.training for name, module in network.named_modules()}
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_no_graph_is_built(network, batch):
    """Promise: evaluation keeps no gradients."""
    evaluate(network, [batch])
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("loader", [[], [(torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64))]])
def test_a_loader_without_images_is_told(network, loader):
    """Promise: an error, not a division by zero."""
    with pytest.raises(DataError, match="yields no images"):
        evaluate(network, loader)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range_is_told(network, batch, label):
    """Promise: the range and what was found."""
    images, labels = batch
    labels[0] = label
    with pytest.raises(DataError, match="must be 0 to 2, found"):
        evaluate(network, [(images, labels)])


def test_a_mode_without_steps_is_told(batch):
    """Promise: no figure from steps that nobody estimated."""
    network = make_network(batch[0], calibrated=False)
    with pytest.raises(CalibrationError, match="w8a8"):
        evaluate(network, [batch])
    assert evaluate(network, [batch], modes=["fp32"])["fp32"].n == 24


def test_the_table_has_a_line_a_mode():
    """Promise: aligned under its head, whatever the names are."""
    table = accuracy_table({"fp32": Accuracy(99.5, 100.0, 0.01, 10), "w4a4:wide": Accuracy(3.25, 7.5, 12.5, 10000)})
    assert table.splitlines() == [
        "mode       top-1 %  top-5 %    loss  images",
        "fp32         99.50   100.00  0.0100      10",
        "w4a4:wide     3.25     7.50  12.5000   10000",
    ]
