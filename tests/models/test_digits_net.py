"""The network of the quickstart."""

from __future__ import annotations

import pytest
import torch

from quantizable.errors import RecipeError
from quantizable.models import DigitsNet


def test_the_documented_size_is_true() -> None:
    """56,554 parameters; logits for 8 x 8 and other sizes."""
    network = DigitsNet(num_classes=10)
    assert sum(p.numel() for p in network.parameters()) == 56_554
    assert network(torch.zeros(3, 1, 8, 8)).shape == (3, 10)
    assert DigitsNet(num_classes=4, width=0.5, in_channels=3)(torch.zeros(3, 3, 11, 9)).shape == (3, 4)


def test_a_width_without_channels_is_refused() -> None:
    """One line, not an error of torch."""
    with pytest.raises(RecipeError, match="leaves no channel"):
        DigitsNet(num_classes=10, width=0)


def test_it_learns_in_a_few_steps() -> None:
    """Thirty steps on one small batch bring the loss near zero: gradients reach every layer."""
    torch.manual_seed(0)
    network = DigitsNet(num_classes=10)
    x, y = torch.randn(20, 1, 8, 8), torch.arange(20) % 10
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1
