"""Parameter groups, optimizers by name, and the factor on their rates."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_networks import make_network

import quantizable as qz
from quantizable.errors import RecipeError
from quantizable.models import DigitsNet
from quantizable.training import make_optimizer, multi_mode_backward, parameter_groups, rate_factor


@pytest.mark.parametrize("quantizer", ["nested", "lsq", "pact", "dorefa", "sat"])
def test_every_trainable_parameter_is_in_exactly_one_group(batch, quantizer):
    """Promise: nothing is left out or stepped twice, whichever quantizer learns what."""
    network = qz.convert(DigitsNet(num_classes=3, width=0.25), (32, 8, 2), plan=qz.Plan(quantizer=quantizer), example=batch[0][:2])
    network.bn2.weight.requires_grad_(False)
    groups = parameter_groups(network, lr=0.1, step_lr=0.01)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted({id(p) for p in network.parameters() if p.requires_grad})


def test_only_weights_decay(network):
    """Promise: norms, biases and what quantizers learn do not decay."""
    groups = parameter_groups(network, lr=0.1, weight_decay=0.5, step_lr=0.01)
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    wanted = {id(p) for name, p in network.named_parameters() if name in ("conv1.weight", "conv2.weight", "conv3.weight", "linear.weight")}
    assert decayed == wanted
    assert all(group["weight_decay"] in (0.0, 0.5) for group in groups)


def test_rates_are_by_bits(network):
    """Promise: steps have their own rate, times a factor by activation bits; step_lr None takes that of the weights."""
    groups = parameter_groups(network, lr=0.1, step_lr=0.01, step_lr_by_bits={2: 0.5, 1: 0.1})
    rates = {group["name"]: group["lr"] for group in groups}
    assert rates == {
        "weights": 0.1, "norms": 0.1, "steps of 1 bits": pytest.approx(0.001), "steps of 2 bits": 0.005, "steps of 8 bits": 0.01,
    }  # fmt: skip
    assert {group["lr"] for group in parameter_groups(network, lr=0.1)} == {0.1}


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_an_optimizer_by_name_steps_and_remembers_its_first_rates(batch, name, kind):
    """Promise: the group's "start_lr" is what `rate_factor` multiplies."""
    network = make_network(batch[0])
    optimizer = make_optimizer(name, parameter_groups(network, lr=0.1, step_lr=0.01), lr=0.1)
    assert type(optimizer) is kind
    assert [group["start_lr"] for group in optimizer.param_groups] == [group["lr"] for group in optimizer.param_groups]
    before = network.conv2.weight.detach().clone()
    multi_mode_backward(network, *batch)
    optimizer.step()
    assert not torch.equal(before, network.conv2.weight)


def test_an_unknown_optimizer_is_told(network):
    """Promise: the names that there are."""
    with pytest.raises(RecipeError, match="sgd, adam or adamw, found 'lamb'"):
        make_optimizer("lamb", parameter_groups(network, lr=0.1), lr=0.1)


@given(steps=st.integers(1, 10_000), data=st.data())
def test_the_cosine_is_its_formula(steps, data):
    """cosine: (1 + cos(pi t)) / 2 after the warm-up."""
    step = data.draw(st.integers(0, steps - 1))
    assert rate_factor(step, steps, rule="cosine") == pytest.approx((1 + math.cos(math.pi * step / steps)) / 2)


def test_the_warm_up_is_linear_and_ends():
    """warmup_steps: 1/n, 2/n, ... 1, then nothing more; times the rule."""
    factors = [rate_factor(step, 100, rule="constant", warmup_steps=4) for step in range(6)]
    assert factors == [0.25, 0.5, 0.75, 1, 1, 1]
    assert rate_factor(1, 100, rule="cosine", warmup_steps=4) == 0.5 * rate_factor(1, 100, rule="cosine")


def test_steps_fall_to_a_tenth_at_each_milestone():
    """steps: milestones are shares of the run; the step at a milestone has the lower rate."""
    factors = [rate_factor(step, 10, rule="steps", milestones=(0.5, 0.8)) for step in range(10)]
    assert factors == pytest.approx([1] * 5 + [0.1] * 3 + [0.01] * 2)


def test_an_unknown_rule_is_told():
    """Promise: the rules that there are."""
    with pytest.raises(RecipeError, match="cosine, steps or constant, found 'linear'"):
        rate_factor(0, 1, rule="linear")
