"""nn.MultiheadAttention and the transformer layers around it: equal in fp32, and really made of the integer weights elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from nets import calibrated, differing, outputs, seeded
from torch import Tensor, nn

import quantizable as qz
from quantizable.network import Plan, layer_reports, quantized_layers

MODES = ("fp32", "w8a8", "w3a3")
PLAN = Plan(channel_rms=None, first_bits=None, last_bits=None)
WIDTH = 8


def tokens(n: int = 6, length: int = 5, seed: int = 3) -> Tensor:
    return torch.randn(n, length, WIDTH, generator=torch.Generator().manual_seed(seed))


class Attention(nn.Module):
    """One attention, called as the test says; queries, keys and values are tokens (N, L, E)."""

    def __init__(self, call: Callable[[nn.Module, Tensor], Any], **options: Any) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, 2, **options)
        self.call = call

    def forward(self, x: Tensor) -> Any:
        return self.call(self.attn, x if self.attn.batch_first else x.transpose(0, 1))


def _memory(x: Tensor) -> Tensor:
    return x.roll(1, 1)[:, :3] * 1.5 if x.shape[0] > 5 else x.roll(1, 0)[:3] * 1.5


def _hidden(x: Tensor, first: bool) -> Tensor:
    n, length = (len(x), x.shape[1]) if first else (x.shape[1], len(x))
    return torch.arange(length).expand(n, length) >= 1 + torch.arange(n)[:, None] % length


CALLS: dict[str, Callable[[Any, Tensor], Any]] = {
    "self": lambda attn, x: attn(x, x, x),
    "self without weights": lambda attn, x: attn(x, x, x, need_weights=False),
    "weights of every head": lambda attn, x: attn(x, x, x, average_attn_weights=False),
    "by keyword": lambda attn, x: attn(query=x, key=x, value=x),
    "cross": lambda attn, x: attn(x, _memory(x), _memory(x)),
    "three tensors": lambda attn, x: attn(x, x + 1, x - 1),
    "padding mask": lambda attn, x: attn(x, x, x, key_padding_mask=_hidden(x, attn.batch_first)),
    "causal mask": lambda attn, x: attn(x, x, x, attn_mask=nn.Transformer.generate_square_subsequent_mask(5), is_causal=True),
    "bool mask": lambda attn, x: attn(x, x, x, attn_mask=torch.ones(5, 5, dtype=torch.bool).triu(1), need_weights=False),
    "one sequence": lambda attn, x: attn(*[x[0] if attn.batch_first else x[:, 0]] * 3),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "batch first": {"batch_first": True},
    "length first": {},
    "without bias": {"batch_first": True, "bias": False},
    "with extra keys": {"batch_first": True, "add_bias_kv": True, "add_zero_attn": True},
}


REFUSED = ("with extra keys", "causal mask")  # by torch itself


@pytest.mark.parametrize(("options", "call"), [pair for pair in product(OPTIONS, CALLS) if pair != REFUSED])
def test_attention_is_equal_in_fp32_close_at_8_bits_and_coarser_at_3(call: str, options: str) -> None:
    """Self and cross attention, masks, both orders of axes, with and without weights, single sequences."""
    net, x = seeded(Attention(CALLS[call], **OPTIONS[options])).eval(), tokens()
    network = calibrated(net, x, MODES, plan=PLAN)
    assert list(quantized_layers(network)) == ["attn", "attn.out_proj"]
    with torch.no_grad():
        expected, weights = net(x)
        for mode, limit in (("fp32", 0.0), ("w8a8", 0.1), ("w3a3", 2.0)):
            with qz.use_mode(network, mode):
                found, own_weights = network(x)
            error = float((found - expected).abs().mean() / expected.std())
            assert found.shape == expected.shape
            assert error <= limit
            assert (weights is None) == (own_weights is None)
            if weights is not None:
                assert own_weights.shape == weights.shape
                assert (own_weights - weights).abs().max() <= limit
        assert error > 0.02  # 3 bits are coarse: the integer weights were really used


@pytest.mark.parametrize("is_training", [False, True])
def test_gradients_reach_all_projections(is_training: bool) -> None:
    """Both weights and the input learn in every mode."""
    network = calibrated(seeded(Attention(CALLS["self"], batch_first=True)), tokens(), MODES, plan=PLAN).train(is_training)
    for mode in MODES:
        network.zero_grad(set_to_none=True)
        x = tokens().requires_grad_()
        with qz.use_mode(network, mode):
            network(x)[0].square().sum().backward()
        for tensor in (x, network.attn.in_proj_weight, network.attn.out_proj.weight, network.attn.in_proj_bias):
            assert tensor.grad is not None
            assert tensor.grad.any()


def test_attention_that_cannot_be_quantized_stays_float_with_its_output_projection() -> None:
    """It reads the projection's weight itself: a report that called the projection quantized would be wrong."""

    class Cross(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn, self.fc = nn.MultiheadAttention(WIDTH, 2, kdim=3, vdim=3, batch_first=True), nn.Linear(WIDTH, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.attn(x, x[..., :3], x[..., :3])[0])

    network = calibrated(seeded(Cross()).eval(), tokens(), MODES)
    reasons = {report.name: report.became for report in layer_reports(network)}
    assert list(quantized_layers(network)) == ["fc"]
    assert reasons["attn"] == "float: its key or value width differs from its own (kdim, vdim)"
    assert reasons["attn.out_proj"] == "float: part of attn, which stays float"
    skipped = calibrated(seeded(nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)).eval(), tokens(), MODES, skip=["self_attn"])
    assert list(quantized_layers(skipped)) == ["linear1", "linear2"]
    alone = qz.convert(nn.Sequential(nn.MultiheadAttention(WIDTH, 2), nn.Linear(2, 2)), MODES, skip=["0.out_proj"])
    assert list(quantized_layers(alone)) == ["0", "1"]


ENCODERS: dict[str, Callable[[], nn.Module]] = {
    "layer": lambda: nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True),
    "layer, norm first": lambda: nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True, norm_first=True, activation="gelu"),
    "layer, length first": lambda: nn.TransformerEncoderLayer(WIDTH, 2, 16),
    "stack": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True), 2),
}


class SubLayer(nn.TransformerEncoderLayer):
    """A subclass: its forward, with torch's fused path in it, is inherited."""


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
@pytest.mark.parametrize("kind", [*ENCODERS, "subclass"])
@pytest.mark.parametrize("with_mask", [False, True])
def test_transformer_layers_use_the_integer_weights_in_evaluation(kind: str, with_mask: bool) -> None:
    """torch's fused paths read the float weights, and fire in evaluation without gradients: they must not in integer modes."""
    make = ENCODERS.get(kind, lambda: SubLayer(WIDTH, 2, 16, batch_first=True))
    net, x = seeded(make()).eval(), tokens()
    mask = torch.arange(5).expand(6, 5) >= 5 - torch.arange(6)[:, None] % 3 if with_mask else None
    x = x.transpose(0, 1) if "length" in kind else x

    def run(network: nn.Module) -> Tensor:
        return network(x, src_key_padding_mask=mask)  # type: ignore[no-any-return]

    network = qz.convert(net, MODES, plan=PLAN, example={"src": x, "src_key_padding_mask": mask} if with_mask else x).train()
    for name in MODES[1:]:
        with qz.use_mode(network, name):
            run(network)  # the first batch in training estimates the steps
    network.eval()
    found = {}
    for mode in MODES:
        with torch.no_grad(), qz.use_mode(network, mode):
            found[mode] = run(network)
    with torch.no_grad():
        expected = run(net)
    visible = slice(None) if mask is None else ~mask if "length" not in kind else ~mask.T
    assert torch.equal(found["fp32"][visible], expected[visible])
    for mode, least in (("w8a8", 1e-4), ("w3a3", 0.02)):
        error = (found[mode] - found["fp32"])[visible].abs().mean()
        assert least < error < 0.5
        with qz.use_mode(network, mode):  # with gradients the fused path is off in any case: both must agree
            torch.testing.assert_close(run(network)[visible], found[mode][visible], rtol=1e-5, atol=1e-5)


def test_the_order_of_a_transformer_is_traced_through_its_fused_path() -> None:
    """An example in evaluation without gradients would skip all layers of the fused path."""
    net = nn.Sequential(nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True), 2), nn.Linear(WIDTH, 3)).eval()
    structure = qz.network.conversion_of(qz.convert(net, MODES, example=tokens())).structure
    assert (structure.first, structure.last) == ("0.layers.0.self_attn", "1")
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_transformer_goes_through_a_checkpoint(tmp_path: Any) -> None:
    """Encoder and decoder, cross attention included: equal in every mode after save and load."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)
            self.decode = nn.TransformerDecoderLayer(WIDTH, 2, 16, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.decode(x, self.encode(x))  # type: ignore[no-any-return]

    network = calibrated(seeded(Net()).eval(), tokens(), MODES)
    qz.save(network, tmp_path)
    loaded = qz.load(tmp_path, seeded(Net(), 5)).eval()
    assert differing(outputs(loaded, tokens()), outputs(network, tokens())) == []
