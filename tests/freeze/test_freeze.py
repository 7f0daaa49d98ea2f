"""A frozen network against the network itself: the law of training and the law of the graph are one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from frozen_nets import MODES, NETWORKS, images, made, reference_units, torch_units
from torch import nn

import quantizable as qz
from quantizable.graph import Affine, IntegerConv, Quantize, equal, run, trace
from quantizable.models import build
from quantizable.network import fused

SIZE = (17, 14)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("is_fused", [False, True])
def test_every_unit_of_the_network_is_that_of_the_reference(name, is_fused, monkeypatch):
    """Law 2.3: each layer with its norm, bit for bit, and the logits, in every mode, batches 1 and 3, odd sizes."""
    if is_fused and not fused.is_available():
        pytest.skip(f"the fused path of training is not there: {fused.why_not()}")
    monkeypatch.setattr(fused, "is_available", lambda: is_fused)
    network = made(name, SIZE)
    model = qz.freeze(network, images(1, SIZE))
    sizes = [(1, SIZE), (3, SIZE if name == "sequence" else (13, 19))]
    n_units = 0
    for mode in MODES:
        for n, size in sizes:
            x = images(n, size, seed=n + 4)
            (theirs, their_units), (ours, our_units) = torch_units(network, x, mode), reference_units(model, x, mode)
            assert their_units.keys() == our_units.keys()
            differing = [layer for layer in our_units if not np.array_equal(our_units[layer], their_units[layer])]
            assert (mode, n, differing) == (mode, n, [])
            assert np.array_equal(ours, theirs)
            n_units += len(our_units)
    assert n_units >= 2 * len(sizes) * len(MODES)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("resnet20", (32, 32)), ("resnet18", (65, 48))])
def test_whole_networks_freeze_exactly(name, size):
    """Law 2.3 on the networks that people train: 20 layers with option-A shortcuts, 18 with norms in the shortcuts."""
    torch.manual_seed(0)
    network = build(name, num_classes=10).eval()
    x = images(4, size, seed=3)
    converted = qz.convert(network, MODES, example=x).eval()
    qz.calibrate(converted, [x])
    model = qz.freeze(converted, x)
    for mode in MODES:
        (theirs, their_units), (ours, our_units) = torch_units(converted, x[:2], mode), reference_units(model, x[:2], mode)
        assert [layer for layer in our_units if not np.array_equal(our_units[layer], their_units[layer])] == []
        assert np.array_equal(ours, theirs)


def test_layers_that_share_a_quantizer_share_codes():
    """Design, the law: one Quantize for a tensor that two layers read with one quantizer; norms fold into their layers."""
    network = build("resnet18", num_classes=3, stem="cifar").eval()
    x = images(2, (8, 8))
    converted = qz.convert(network, ("w8a8", "w2a2"), example=x).eval()
    qz.calibrate(converted, [x])
    model = qz.freeze(converted, x)
    readers: dict[str, list[str]] = {}
    for node in model.nodes:
        if isinstance(node, IntegerConv):
            readers.setdefault(node.source, []).append(node.name)
    assert ["layer2.0.conv1", "layer2.0.downsample.0"] in readers.values()
    assert not any(isinstance(node, Affine) for node in model.nodes)
    assert sum(isinstance(node, Quantize) for node in model.nodes) == len(readers) + 1  # the last is the linear layer's


def test_first_and_last_layer_are_always_8_bits_and_others_not():
    """Design, the file: layers whose every integer mode is 8 bits are marked."""
    model = qz.freeze(made("digits_net", (8, 8)), images(1, (8, 8)))
    assert {weight.name: weight.always_bits for weight in model.weights} == {"conv1": 8, "conv2": None, "conv3": None, "linear": 8}


def test_a_norm_that_no_layer_takes_in_is_within_two_roundings_of_torchs():
    """docs/integer_model.md: torch multiplies and adds such a norm with one rounding less, from coefficients in float32."""
    network = made("densenet", SIZE)
    model = qz.freeze(network, images(1, SIZE))
    x = images(2, SIZE, seed=9)
    n_norms = 0
    for mode in MODES:
        edges = trace(model, x.numpy(), mode)
        for node in model.nodes:
            if isinstance(node, Affine):
                source = edges[node.source]
                norm = network.get_submodule(node.name).of(mode)
                with torch.no_grad():
                    theirs = norm(torch.from_numpy(source)).numpy()
                m, t = (values.reshape(1, -1, 1, 1) for values in (node.tables[mode].multiplier, node.tables[mode].offset))
                size = np.abs(source * m) + np.abs(norm.running_mean.numpy().reshape(m.shape) * m) + np.abs(t)
                assert (np.abs(edges[node.name] - theirs) <= 2.0**-21 * size).all()
                n_norms += 1
    assert n_norms == 3 * len(MODES)


def test_a_mean_is_within_the_rounding_of_its_sum_of_torchs():
    """docs/integer_model.md: torch adds in an order that depends on the CPU; n values differ by at most n roundings."""
    network = made("resnet8", SIZE)
    model = qz.freeze(network, images(1, SIZE))
    edges = trace(model, images(2, SIZE).numpy(), "w8a8")
    x = edges["layer3.0.relu2"]
    theirs = torch.from_numpy(x).mean((2, 3)).numpy()
    n = x[0, 0].size
    assert (np.abs(edges["pool"][:, :, 0, 0] - theirs) <= n * 2.0**-24 * np.abs(x).sum((2, 3)) / n).all()


def test_fp32_is_the_float_network_up_to_rounding():
    """Promise: with_float keeps the mode fp32; norms are folded there too, so it is not bit for bit."""
    network = made("resnet8", SIZE, ("fp32", "w8a8"))
    model = qz.freeze(network, images(1, SIZE), with_float=True)
    assert model.modes == ("fp32", "w8a8")
    x = images(2, SIZE)
    with torch.no_grad(), qz.use_mode(network, "fp32"):
        expected = network(x).numpy()
    assert np.abs(run(model, x.numpy(), "fp32") - expected).max() <= 1e-5 * np.abs(expected).max()
    assert qz.freeze(network, images(1, SIZE)).modes == ("w8a8",)


def test_freezing_changes_nothing_in_the_network_and_gives_the_same_model_again():
    """Promise: mode, training flag, and weights stay; the same network gives the same numbers."""
    network = made("mobilenet_v2", SIZE).train()
    qz.set_mode(network, "w4a4")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first, second = (qz.freeze(network, images(1, SIZE)) for _ in range(2))
    assert equal(first, second)
    assert network.training
    assert qz.get_mode(network) == "w4a4"
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_what_a_user_says_of_the_input_goes_into_the_model():
    """Promise: names, moments, and the example's shape; bytes run at once."""
    network = made("digits_net", (8, 8))
    model = qz.freeze(network, images(1, (8, 8)), name="digits", mean=(0.5,) * 3, std=(0.25,) * 3, class_names=tuple("abcde"))
    assert (model.name, model.class_names, model.input.shape) == ("digits", tuple("abcde"), (3, 8, 8))
    assert run(model, np.zeros((1, 8, 8, 3), np.uint8), "w2a4").shape == (1, 5)


def test_a_mode_with_bits_of_its_own_per_layer_freezes():
    """Design, words: a mode may override bits per layer."""
    x = images(4, (8, 8))
    network = build("digits_net", num_classes=5, width=0.25, in_channels=3).eval()
    converted = qz.convert(network, {"w4a4:wide": {"conv2": "w6a5"}, "w2a2": {}}, example=x).eval()
    qz.calibrate(converted, [x])
    model = qz.freeze(converted, x)
    conv2 = next(node for node in model.nodes if node.name == "conv2")
    assert {mode: table.weight_bits for mode, table in conv2.tables.items()} == {"w4a4:wide": 6, "w2a2": 2}
    for mode in model.modes:
        assert np.array_equal(run(model, x.numpy(), mode), torch_units(converted, x, mode)[0])


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("padding", ["same", "valid", (2, 0)])
def test_padding_by_name_is_the_layers_own(padding):
    """An even kernel with padding 'same' has one more zero behind than before."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, (4, 3), padding=padding, dilation=(1, 2)), nn.ReLU(), nn.Conv2d(4, 5, 1)).eval()
    x = images(2, (9, 8))
    converted = qz.convert(network, ("w8a8", "w3a3"), example=x).eval()
    qz.calibrate(converted, [x])
    model = qz.freeze(converted, x)
    for mode in model.modes:
        assert np.array_equal(run(model, x.numpy(), mode), torch_units(converted, x, mode)[0])
