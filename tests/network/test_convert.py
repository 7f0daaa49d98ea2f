"""convert: the float network is untouched, fp32 equals it bit for bit, and what is refused is refused in one line."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from nets import MODES, SkipNet, calibrated, differing, images, outputs, seeded, skip_net
from torch import Tensor, nn

import quantizable as qz
from quantizable.errors import ConvertError, ModeError, PlanError, RangeError
from quantizable.network import BitSpecificNorm, Plan, QuantizedLayer, quantized_layers


def bitwise_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_same_state(network: nn.Module, state: dict[str, Tensor]) -> None:
    found = network.state_dict()
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("with_example", [False, True])
def test_fp32_mode_equals_the_float_network_bit_for_bit(is_training: bool, with_example: bool) -> None:
    """Invariant 1: outputs, gradients, and running statistics after the pass are those of the float network."""
    x = images()
    net = skip_net().train(is_training)
    quantizable = qz.convert(net, MODES, example=x if with_example else None)
    assert qz.get_mode(quantizable) == "fp32"
    y, expected = quantizable(x), net(x)
    assert torch.equal(y, expected)
    y.square().sum().backward()
    expected.square().sum().backward()
    own = dict(quantizable.named_parameters())
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(own[name].grad, parameter.grad, rtol=0.02, atol=0.02)  # its products may be in bfloat16
    for name, buffer in net.named_buffers():
        assert torch.equal(quantizable.get_buffer(name), buffer), name


def test_fp32_mode_does_not_depend_on_what_integer_modes_did() -> None:
    """Invariant 1 after integer modes trained their norms: they have sets of their own."""
    x, net = images(), skip_net()
    quantizable = calibrated(net, x).train()
    for mode in qz.modes_of(quantizable):
        if not mode.is_float:
            with qz.use_mode(quantizable, mode):
                quantizable(x)
    assert torch.equal(quantizable.eval()(x), net(x))


def test_the_float_network_is_untouched() -> None:
    """State, classes, training flags, hooks, attributes, and random generator: as before, with and without an example."""
    net = skip_net()
    net.bn2.train()
    net.conv1.register_forward_hook(lambda *_: None)
    state, classes = bitwise_state(net), [type(module) for module in net.modules()]
    flags, attributes = [module.training for module in net.modules()], [set(vars(module)) for module in net.modules()]
    hooks, generator = [len(module._forward_hooks) for module in net.modules()], torch.get_rng_state()
    calibrated(net, images())
    assert_same_state(net, state)
    assert [type(module) for module in net.modules()] == classes
    assert [module.training for module in net.modules()] == flags
    assert [set(vars(module)) for module in net.modules()] == attributes
    assert [len(module._forward_hooks) for module in net.modules()] == hooks
    assert torch.equal(torch.get_rng_state(), generator)


def test_the_converted_network_shares_nothing_with_the_float_one() -> None:
    """Training one leaves the other alone."""
    net = skip_net()
    quantizable = qz.convert(net, MODES)
    addresses = {tensor.data_ptr() for tensor in net.state_dict().values()}
    assert not addresses & {tensor.data_ptr() for tensor in quantizable.state_dict().values()}


def test_every_float_key_is_kept_in_order() -> None:
    """A float checkpoint loads by its own names, and the names stand in the order of the float network."""
    net = skip_net()
    quantizable = qz.convert(net, MODES, example=images())
    names = [name for name in quantizable.state_dict() if name in net.state_dict()]
    assert names == list(net.state_dict())
    parameters = [name for name, _ in quantizable.named_parameters() if name in dict(net.named_parameters())]
    assert parameters == [name for name, _ in net.named_parameters()]
    assert quantizable.load_state_dict(net.state_dict(), strict=False).unexpected_keys == []


ROOTS: dict[str, Callable[[], nn.Module]] = {
    "layer": lambda: nn.Linear(6, 4),
    "sequential": lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)),
    "module list inside": lambda: nn.Sequential(nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 4)])[0], nn.Linear(6, 4)),
}


@pytest.mark.parametrize("root", ROOTS)
def test_roots_of_any_kind_work(root: str) -> None:
    """A network that is itself a layer, or a Sequential."""
    net, x = seeded(ROOTS[root]()).eval(), torch.randn(16, 6, generator=torch.Generator().manual_seed(2))
    quantizable = calibrated(net, x)
    found = outputs(quantizable, x)
    assert torch.equal(found["fp32"], net(x))
    assert found["w8a8"].shape == (16, 4)
    assert torch.allclose(found["w8a8"], found["fp32"], atol=0.2)


def test_a_sequential_root_gets_no_child() -> None:
    """The user's root stays what it is: length, iteration, indexing and slicing of a Sequential; children of any root."""
    net = seeded(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)))
    quantizable = calibrated(net.eval(), images())
    assert type(quantizable) is nn.Sequential
    assert len(quantizable) == len(net)
    assert [type(module).__name__.removeprefix("Switchable") for module in quantizable] == [type(module).__name__ for module in net]
    assert isinstance(quantizable[0], nn.Conv2d)
    assert len(quantizable[1:3]) == 2
    other = calibrated(skip_net(), images())
    assert [name for name, _ in other.named_children()] == [name for name, _ in SkipNet().named_children()]


def test_norms_get_a_set_per_mode_shortcuts_included() -> None:
    """Bit-specific norms: own statistics and affine per integer mode, in all norms of the network."""
    quantizable = qz.convert(skip_net(), MODES)
    norms = {name: module for name, module in quantizable.named_modules() if isinstance(module, BitSpecificNorm)}
    assert list(norms) == ["bn1", "bn2", "shortcut.1"]
    for norm in norms.values():
        assert list(norm.mode_norms) == ["w8a8", "w4a4", "w2a4", "w1a1"]
        for own in norm.mode_norms.values():
            assert torch.equal(own.weight, norm.weight)
            assert own.weight is not norm.weight
    shared = qz.convert(skip_net(), MODES, plan=Plan(norms="shared"))
    assert not any("mode_norms." in name for name in shared.state_dict())


def test_a_module_at_two_places_is_one_layer() -> None:
    """The same object twice: one set of tables, one name, both keys in the state; the network still computes."""
    layer = nn.Linear(6, 6)
    net = seeded(nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(6, 3))).eval()
    x = torch.randn(32, 6, generator=torch.Generator().manual_seed(1))
    quantizable = calibrated(net, x)
    assert quantizable[0] is quantizable[2]
    assert list(quantized_layers(quantizable)) == ["0", "3"]
    assert [name for name in quantizable.state_dict() if name in net.state_dict()] == list(net.state_dict())
    assert torch.equal(outputs(quantizable, x)["fp32"], net(x))
    assert torch.allclose(outputs(quantizable, x)["w8a8"], net(x), atol=0.2)


class CalledTwice(nn.Module):
    """One convolution called twice, each time with a norm of its own behind."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(4)])

    def forward(self, x: Tensor) -> Tensor:
        return self.norms[1](self.conv(self.norms[0](self.conv(x)).relu()))


def test_a_layer_called_twice_keeps_its_two_norms_apart() -> None:
    """Neither norm is joined with the layer; 8 bits come close to the float network."""
    net, x = seeded(CalledTwice()).eval(), images(channels=4)
    quantizable = calibrated(net, x, ("fp32", "w8a8"))
    assert not any(module._is_absorbed for module in quantizable.modules() if isinstance(module, BitSpecificNorm))
    for norm in quantizable.norms:  # calibration takes the statistics of this batch; compare with the same ones
        norm.mode_norms["w8a8"].load_state_dict({k: v for k, v in norm.state_dict().items() if "mode_norms" not in k})
    with torch.no_grad(), qz.use_mode(quantizable, "w8a8"):
        assert (quantizable(x) - net(x)).abs().mean() < 0.1 * net(x).std()


def test_modes_may_differ_in_weight_and_activation_bits_and_by_layer() -> None:
    """w2a4, and a mapping mode -> {pattern: bits}; first and last keep 8 bits unless a pattern names them."""
    modes = {"fp32": {}, "w4a4": {}, "w4a4:mixed": {"conv2": "w8a2", "shortcut.*": 3, "fc": 6}, "w2a4": {}}
    quantizable = calibrated(skip_net(), images(), modes)
    bits = {name: layer._bits for name, layer in quantized_layers(quantizable).items()}
    assert [mode.name for mode in qz.modes_of(quantizable)] == ["fp32", "w4a4", "w4a4:mixed", "w2a4"]
    assert {name: own["w4a4:mixed"] for name, own in bits.items()} == {
        "conv1": (8, 8),
        "conv2": (8, 2),
        "shortcut.0": (3, 3),
        "fc": (6, 6),
    }
    assert {name: own["w2a4"] for name, own in bits.items()} == {"conv1": (8, 8), "conv2": (2, 4), "shortcut.0": (2, 4), "fc": (8, 8)}
    found = outputs(quantizable, images())
    assert len({tuple(y.flatten().tolist()) for y in found.values()}) == len(found)


class LastRunsFirst(nn.Module):
    """Registered in one order, called in another."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.middle = nn.Linear(4, 4)
        self.stem = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.stem(x).relu()).relu())


@pytest.mark.parametrize(("with_example", "eight"), [(True, {"stem", "head"}), (False, {"head", "stem"}), (None, set())])
def test_first_and_last_are_those_that_run_first_and_last(with_example: bool | None, eight: set[str]) -> None:
    """With an example by execution, without by registration; None in the plan switches both off."""
    plan = Plan(first_bits=None, last_bits=None) if with_example is None else Plan(first_bits=8, last_bits=7)
    quantizable = qz.convert(LastRunsFirst(), (32, 2), plan=plan, example=torch.randn(2, 6) if with_example else None)
    bits = {name: layer._bits["w2a2"][0] for name, layer in quantized_layers(quantizable).items()}
    expected = {True: {"head": 7, "middle": 2, "stem": 8}, False: {"head": 8, "middle": 2, "stem": 7}, None: dict.fromkeys(bits, 2)}
    assert bits == expected[with_example]
    assert {name for name, width in bits.items() if width > 2} == eight


@pytest.mark.parametrize("with_example", [True, False])
def test_a_last_layer_kept_float_leaves_no_other_in_its_place(with_example: bool) -> None:
    """The last layer's width belongs to the last layer: where it stays float, the one before has the mode's."""
    net = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6))
    quantizable = qz.convert(net, (32, 2), skip=["2"], example=torch.randn(2, 6) if with_example else None)
    assert {name: layer._bits["w2a2"] for name, layer in quantized_layers(quantizable).items()} == {"0": (8, 8), "1": (2, 2)}


@pytest.mark.parametrize("example", ["tensor", "tuple", "dict"])
def test_an_example_is_a_tensor_a_tuple_or_a_mapping(example: str) -> None:
    """Arguments by position or by name give the same structure."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            return self.b(self.a(x if y is None else x + y))

    x = torch.randn(2, 4)
    given = {"tensor": x, "tuple": (x, x), "dict": {"y": x, "x": x}}[example]
    structure = qz.network.conversion_of(qz.convert(Both(), (32, 4), example=given)).structure
    assert (structure.first, structure.last) == ("a", "b")


def test_converting_twice_is_refused() -> None:
    """Errors: a converted network, and a view of one."""
    quantizable = qz.convert(skip_net(), MODES)
    for network in (quantizable, qz.at(quantizable, "fp32"), nn.Sequential(quantizable)):
        with pytest.raises(ConvertError, match="already converted; convert the float network"):
            qz.convert(network, MODES)


def test_a_network_without_layers_to_quantize_is_refused() -> None:
    """Bad input: no quantizable layer, and all of them kept float."""
    with pytest.raises(ConvertError, match="nothing to quantize, found LayerNorm, Sequential; layers are"):
        qz.convert(nn.Sequential(nn.LayerNorm(4)), MODES)
    with pytest.raises(ConvertError, match="nothing to quantize"):
        qz.convert(skip_net(), MODES, skip=["*"])


def test_a_layer_without_weights_yet_is_refused() -> None:
    """A lazy module has no shape before its first batch."""
    with pytest.raises(ConvertError, match=r"1: LazyLinear has no weights yet; run one batch"):
        qz.convert(nn.Sequential(nn.Linear(3, 3), nn.LazyLinear(2)), MODES)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 2.0**31])
def test_weights_outside_the_law_are_refused_with_the_layer_named(bad: float) -> None:
    """Law, Weights: magnitudes up to 2^30; `convert` checks."""
    net = skip_net()
    with torch.no_grad():
        net.conv2.weight[1, 2, 0, 0] = bad
    with pytest.raises(RangeError, match=r"conv2: weight: magnitudes must be at most 2\^30, found .*; check the float network"):
        qz.convert(net, MODES)


def test_bad_modes_and_patterns_are_refused_before_anything_is_built() -> None:
    """Errors of names: each with what to do or the nearest name."""
    net = skip_net()
    for modes, error, message in [
        ((), ModeError, "the list is empty"),
        ((4, "w4a4"), ModeError, "stands in the list 2 times"),
        ({4: {"conv9": 2}}, PlanError, r"'conv9' of mode 'w4a4' fits no layer; the nearest name is 'conv[12]'"),
        ({4: {"bn1": 2}}, PlanError, "names 'bn1', which cannot be quantized: BatchNorm2d is none of the classes"),
        ({4: {"shortcut": 2}}, PlanError, r"fits a module, not its layers; write 'shortcut.\*'"),
    ]:
        with pytest.raises(error, match=message):
            qz.convert(net, modes)


def test_every_layer_kind_trains_in_every_mode() -> None:
    """Gradients of all modes reach every weight, and norms of one mode get none from another."""
    quantizable = calibrated(skip_net(), images(16)).train()
    for mode in MODES:
        quantizable.zero_grad(set_to_none=True)
        with qz.use_mode(quantizable, mode):
            quantizable(images(16)).square().sum().backward()
        for name, layer in quantized_layers(quantizable).items():
            grad = layer.weight.grad
            assert grad is not None, (mode, name)
            assert grad.any(), (mode, name)
        with_gradient = {name for name, own in quantizable.bn1.mode_norms.items() if own.weight.grad is not None}
        assert with_gradient == ({mode} - {"fp32"})


def test_gradients_pass_through_layers_of_many_inputs() -> None:
    """A last layer of 512 inputs at 8 bits sums its codes by digits; its input still gets the gradient of the codes."""
    net = seeded(nn.Sequential(nn.Linear(512, 4))).eval()
    x = torch.randn(8, 512, generator=torch.Generator().manual_seed(1)).requires_grad_()
    quantizable = calibrated(net, x.detach(), ("fp32", "w8a8"))
    expected, found = (torch.autograd.grad(_in(quantizable, mode)(x).sum(), x)[0] for mode in ("fp32", "w8a8"))
    assert torch.nn.functional.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.99


def test_deepcopy_is_independent_and_equal() -> None:
    """copy.deepcopy: same outputs in every mode, a switch and tensors of its own."""
    x = images()
    quantizable = calibrated(skip_net(), x)
    twin = copy.deepcopy(quantizable)
    expected = outputs(quantizable, x)
    assert differing(outputs(twin, x), expected) == []
    qz.set_mode(twin, 4)
    assert qz.get_mode(quantizable) == "fp32"
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    assert differing(outputs(quantizable, x), expected) == []
    assert all(isinstance(twin.get_submodule(name), QuantizedLayer) for name in quantized_layers(quantizable))


def _in(network: nn.Module, mode: str) -> Callable[[Tensor], Tensor]:
    def call(x: Tensor) -> Tensor:
        with qz.use_mode(network, mode):
            y: Tensor = network(x)
        return y

    return call
