"""SAT, scale-adjusted training: DoReFa's integers rescaled to the spread of a good initialisation; PACT with its gradient mended.

Source: Jin, Yang, Liao, arXiv 1912.10207 ("constant rescaling" and CGPACT); used for several bit widths by AdaBits,
arXiv 1912.09666.
"""

from __future__ import annotations

import torch
from torch import Tensor

from quantizable.network.quantizers.dorefa import DoReFaWeightQuantizer, TanhWeight
from quantizable.network.quantizers.interface import Integers
from quantizable.network.quantizers.pact import PactActivationQuantizer
from quantizable.network.quantizers.straight_through import LinearActivation


class SatWeightQuantizer(DoReFaWeightQuantizer):
    """Odd integers of tanh W with a scale that gives the weights the variance 1/n_out.

        v = 2 rint((tanh W / max|tanh W| + 1)/2 n) - n,  n = 2^b - 1, for one bit as well
        s = 1 / sqrt(n_out VAR[v]),  n_out = out * kh * kw

    Gradient: `TanhWeight` for v; s counts as a constant. Integers that are all equal have no variance: their mean square
    takes its place.
    """

    def forward(self, weight: Tensor, mode: str, bits: int) -> Integers:
        integers = TanhWeight.apply(weight, 2**bits - 1)  # type: ignore[no-untyped-call]
        return Integers(integers, _constant_rescaling(integers.detach()))


class SatActivationQuantizer(PactActivationQuantizer):
    """PACT whose clip level a also learns from the rounding error inside the range (gradient-calibrated PACT).

    With value = d (q - z): d value/da = (value - x)/a inside the range; 1 above and -1 below it (0 below for z = 0).
    """

    codes_of = LinearActivation


def _constant_rescaling(integers: Tensor) -> Tensor:
    v = integers.double()
    variance = v.var(unbiased=False)
    spread = torch.where(variance > 0, variance, v.square().mean())
    n_out = integers.shape[0] * integers[0, 0].numel()
    return (n_out * spread).rsqrt().float().repeat(integers.shape[0])
