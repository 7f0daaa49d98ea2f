"""The running average of weights."""

from __future__ import annotations

import pytest
import torch

from quantizable.training.averaging import averaged, start_average, take_average, update_average


def test_the_average_is_its_formula(network):
    """a <- d a + (1 - d) w with d = min(decay, (1 + step) / (10 + step)), for every floating tensor."""
    average = start_average(network)
    wanted = {name: tensor.double().clone() for name, tensor in average.items()}
    for step in range(3):
        with torch.no_grad():
            for tensor in network.parameters():
                tensor.add_(step + 1)
        update_average(average, network, decay=0.15, step=step)
        share = min(0.15, (1 + step) / (10 + step))
        own = network.state_dict()
        wanted = {name: share * value + (1 - share) * own[name].double() for name, value in wanted.items()}
    for name, value in wanted.items():
        assert torch.allclose(average[name].double(), value, rtol=1e-6, atol=1e-6), name


def test_averages_hold_no_counters_and_each_tensor_once(network):
    """Promise: floating tensors, by name; what two layers share is there once."""
    average = start_average(network)
    assert all(tensor.is_floating_point() for tensor in average.values())
    own = network.state_dict(keep_vars=True)
    assert len({id(own[name]) for name in average}) == len(average)
    assert {id(p) for p in network.parameters()} <= {id(own[name]) for name in average}


def test_the_network_is_lent_the_average_and_gets_its_own_back(network):
    """Promise: for the length of the block, also when it fails; bit for bit."""
    average = {name: torch.full_like(tensor, 0.5) for name, tensor in start_average(network).items()}
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def inside():
        with averaged(network, average):
            assert all(bool((p == 0.5).all()) for p in network.parameters())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        inside()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_no_average_lends_nothing(network):
    """Promise: an empty average is none."""
    before = network.conv1.weight.clone()
    with averaged(network, {}):
        assert torch.equal(network.conv1.weight, before)


def test_the_average_can_be_taken_for_good(network):
    """Promise: the final network is the average."""
    average = {name: torch.full_like(tensor, 0.5) for name, tensor in start_average(network).items()}
    take_average(network, average)
    assert all(bool((p == 0.5).all()) for p in network.parameters())
