"""Layers whose forward does not do what their weights do: they stay float, and say why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nets import MODES, outputs
from torch import Tensor, nn
from torch.nn import functional as F

import quantizable as qz
from quantizable.errors import ConvertError, PlanError
from quantizable.network import Plan, layer_reports, quantized_layers


class Idle(nn.Module):
    """One layer of each sort: run, run in training only, read past its forward, both, tied to an embedding, and an attention."""

    def __init__(self) -> None:
        super().__init__()
        self.run, self.in_training, self.past, self.both = (nn.Linear(8, 8) for _ in range(4))
        self.words, self.tied = nn.Embedding(8, 8), nn.Linear(8, 8)
        self.tied.weight = self.words.weight
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.run(x) + (self.in_training(x) if self.training else 0)
        x = F.linear(x, self.past.weight, self.past.bias)
        x = self.both(x) + F.linear(x, self.both.weight)
        x = self.tied(x + self.words(torch.arange(4)))
        return self.attention(x, x, x)[0]


X = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0))


def converted(**options: object) -> nn.Module:
    return qz.convert(Idle().eval(), MODES, example=X, **options)  # type: ignore[arg-type]


def test_layers_that_run_are_quantized_and_others_say_why_not() -> None:
    """Design 2.5, nothing falls back in silence: a weight that is used past its layer would run in float in every mode."""
    network = converted()
    assert set(quantized_layers(network)) == {"run", "tied", "attention", "attention.out_proj"}
    reasons = {report.name: report.became for report in layer_reports(network)}
    assert reasons["in_training"] == "float: did not run with the example"
    assert reasons["past"] == reasons["both"] == "float: its weight is read without calling it"


def test_without_an_example_nothing_is_known() -> None:
    """convert, example: without it layers are taken by their order in the network."""
    assert {"in_training", "past", "both"} < set(quantized_layers(qz.convert(Idle(), MODES)))


def test_a_checkpoint_knows_which_layers_were_idle(tmp_path: Path) -> None:
    """A loaded network has the layers that were saved, and computes what they computed."""
    torch.manual_seed(0)
    float_network = Idle()
    network = qz.convert(float_network, MODES, example=X)
    for mode in MODES:
        qz.set_mode(network.train(), mode)
        network(X)
    qz.save(network, tmp_path)
    loaded = qz.load(tmp_path, float_network)
    assert list(quantized_layers(loaded)) == list(quantized_layers(network))
    for own, expected in zip(outputs(loaded, X).values(), outputs(network, X).values(), strict=True):
        assert torch.equal(own, expected)


def test_a_plan_that_names_an_idle_layer_is_refused() -> None:
    """convert, Raises: a pattern that names a layer which cannot be quantized, with the reason."""
    with pytest.raises(PlanError, match="'past', which cannot be quantized: its weight is read without calling it"):
        converted(plan=Plan(quantizers=(("past", "dorefa"),)))


def test_a_network_of_idle_layers_alone_is_refused() -> None:
    """convert, Raises: nothing is left that could be quantized."""

    class Past(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.layer.weight)

    with pytest.raises(ConvertError, match="layer: the only layer left to quantize"):
        qz.convert(Past(), MODES, example=X)
