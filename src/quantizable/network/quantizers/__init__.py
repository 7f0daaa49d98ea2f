"""Quantizers: how a float weight or activation becomes integers.

One file a family, one row in the table below: a family gives a weight quantizer and an activation quantizer.
"""

from __future__ import annotations

from typing import NamedTuple

from quantizable.network.quantizers.dorefa import DoReFaActivationQuantizer, DoReFaWeightQuantizer
from quantizable.network.quantizers.interface import ActivationQuantizer, Codes, Integers, WeightQuantizer
from quantizable.network.quantizers.lsq import LsqActivationQuantizer, LsqWeightQuantizer
from quantizable.network.quantizers.nested import NestedActivationQuantizer, NestedWeightQuantizer
from quantizable.network.quantizers.pact import PactActivationQuantizer
from quantizable.network.quantizers.sat import SatActivationQuantizer, SatWeightQuantizer


class Family(NamedTuple):
    """The two halves of a quantizer."""

    weight: type[WeightQuantizer]
    activation: type[ActivationQuantizer]


QUANTIZERS: dict[str, Family] = {
    "nested": Family(NestedWeightQuantizer, NestedActivationQuantizer),
    "dorefa": Family(DoReFaWeightQuantizer, DoReFaActivationQuantizer),
    "pact": Family(DoReFaWeightQuantizer, PactActivationQuantizer),
    "sat": Family(SatWeightQuantizer, SatActivationQuantizer),
    "lsq": Family(LsqWeightQuantizer, LsqActivationQuantizer),
}

__all__ = ["QUANTIZERS", "ActivationQuantizer", "Codes", "Family", "Integers", "WeightQuantizer"]
