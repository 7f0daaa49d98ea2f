"""nn.MultiheadAttention made switchable: its packed input projection is one quantized layer, `out_proj` another.

Scores, softmax, and the sum over values stay float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quantizable.network.layers import Kind, QuantizedLayer, multiply
from quantizable.network.quantizers import Integers
from quantizable.network.switchable import Switchable
from quantizable.network.unit import unit


def why_not_attention(module: nn.MultiheadAttention) -> str | None:
    """Return why this attention cannot be quantized, or None."""
    if type(module).forward is not nn.MultiheadAttention.forward or "forward" in module.__dict__:
        return f"{type(module).__name__} has a forward of its own"
    if not module._qkv_same_embed_dim:
        return "its key or value width differs from its own (kdim, vdim)"
    return None


class QuantizedAttention(QuantizedLayer):
    """The attention itself holds what its input projection needs; `memory_quantizers` serve keys of another tensor."""

    memory_quantizers: nn.ModuleDict

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Return what nn.MultiheadAttention returns, in the mode of the Switch."""
        if self._switch.mode.is_float:
            return super(Switchable, self).forward(query, key, value, *args, **kwargs)
        with torch.autocast(query.device.type, enabled=False):
            return self._attend(query, key, value, *args, **kwargs)

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        layer: Any = self
        q, k, v = self._project(query, key, value)
        swap = layer.batch_first and query.ndim == 3
        if swap:
            q, k, v = (x.transpose(0, 1) for x in (q, k, v))
        same = torch.eye(layer.embed_dim, device=query.device)  # a product with it changes nothing: the projections are done here
        out, scores = F.multi_head_attention_forward(
            q, k, v, layer.embed_dim, layer.num_heads, None, None, layer.bias_k, layer.bias_v, layer.add_zero_attn,
            layer.dropout, same, None, self.training, key_padding_mask, need_weights, attn_mask,
            use_separate_proj_weight=True, q_proj_weight=same, k_proj_weight=same, v_proj_weight=same,
            average_attn_weights=average_attn_weights, is_causal=is_causal,
        )  # fmt: skip
        if swap:
            out = out.transpose(0, 1)
        return layer.out_proj(out).to(query.dtype), None if scores is None else scores.to(query.dtype)

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        layer: Any = self
        mode = self._switch.mode.name
        weight_bits, bits = self._bits[mode]
        v, s = self.weight_quantizer(layer.in_proj_weight.float(), mode, weight_bits)
        bound = layer.embed_dim * (2**weight_bits - 1)
        out = []
        if not (self.memory_quantizers[mode].is_ready or query is key or key is value):  # one step serves both: let it see both
            self.ready_input(torch.cat((key.flatten(0, -2), value.flatten(0, -2))), mode, self.memory_quantizers)
        for part, x in enumerate((query, key, value)):
            rows = slice(part * layer.embed_dim, (part + 1) * layer.embed_dim)
            quantizers = self.input_quantizers if x is query else self.memory_quantizers
            quantizer, source = self.ready_input(x, mode, quantizers)
            codes = quantizer(source.float())
            bias = None if layer.in_proj_bias is None else layer.in_proj_bias[rows].float()
            out.append(unit(F.linear, codes, Integers(v[rows], s[rows]), bias, None, bound=bound, bits=bits, axis=-1))
        return out[0], out[1], out[2]


class QuantizedEncoderLayer(Switchable):
    """A transformer layer that keeps off torch's fused path in integer modes: that path would read the float weights."""

    @property
    def activation_relu_or_gelu(self) -> int:
        """0 (no fused path) in integer modes, else the layer's own value."""
        return int(self.__dict__["activation_relu_or_gelu"]) if self._switch.mode.is_float else 0


class QuantizedEncoder(Switchable):
    """A stack of transformer layers that makes no nested tensors in integer modes: only the fused path reads those."""

    @property
    def use_nested_tensor(self) -> bool:
        """False in integer modes, else the stack's own value."""
        return self._switch.mode.is_float and bool(self.__dict__["use_nested_tensor"])


def _in_projection(layer: Any) -> Tensor:
    return layer.in_proj_weight  # type: ignore[no-any-return]


def _embed_dim(layer: Any) -> int:
    return layer.embed_dim  # type: ignore[no-any-return]


ATTENTION = Kind(multiply, _in_projection, -1, _embed_dim)
