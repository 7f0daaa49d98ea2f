"""Plan: checks itself, goes through JSON, and says which family and which pattern a layer has."""

from __future__ import annotations

import json

import pytest

from quantizable.errors import PlanError
from quantizable.network import QUANTIZERS, Plan

BAD_PLANS = {
    "family": ({"quantizer": "nestde"}, "no quantizer 'nestde'; the nearest name is 'nested'; known are nested"),
    "family of a pattern": ({"quantizers": (("fc", "lqs"),)}, "no quantizer 'lqs'; the nearest name is 'lsq'"),
    "first bits": ({"first_bits": 9}, "first_bits must be 1 to 8 or None, found 9"),
    "last bits": ({"last_bits": 0}, "last_bits must be 1 to 8 or None, found 0"),
    "channel range": ({"channel_rms": 0.0}, "channel_rms must be above 0, found 0.0"),
    "channel range NaN": ({"channel_rms": float("nan")}, "channel_rms must be above 0, found nan"),
    "norms": ({"norms": "both"}, "norms must be 'per_mode' or 'shared', found 'both'"),
}


@pytest.mark.parametrize("case", BAD_PLANS)
def test_a_wrong_plan_is_refused(case: str) -> None:
    """Data checks itself."""
    values, message = BAD_PLANS[case]
    with pytest.raises(PlanError, match=message):
        Plan(**values)


def test_the_last_fitting_pattern_gives_the_family() -> None:
    """Families by pattern; the plan's own family elsewhere."""
    plan = Plan(quantizer="lsq", quantizers=(("layer*", "dorefa"), ("layer2.*", "sat")))
    assert [plan.family_of(name) for name in ("conv1", "layer1.0", "layer2.0")] == ["lsq", "dorefa", "sat"]


def test_a_pattern_keeps_what_it_fits_and_what_is_inside() -> None:
    """By the layer's own name, or that of any module around it; not by a part of a name."""
    plan = Plan(keep_float=("head", "layer1.*.conv1", "s*"))
    fits = {"head": "head", "head.fc": "head", "header": None, "layer1.0.conv1": "layer1.*.conv1", "layer1.0.conv2": None, "stem.a.b": "s*"}
    assert {name: plan.keeps_float(name) for name in fits} == fits


@pytest.mark.parametrize("family", list(QUANTIZERS))
def test_a_plan_goes_through_json(family: str) -> None:
    """to_dict and from_dict are inverses, also after JSON made lists of tuples."""
    plan = Plan(family, (("a*", "sat"),), None, 7, ("x", "y.*"), None, "shared")
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    assert Plan.from_dict({}) == Plan()


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    """Errors: a plan from a newer version or with a typo."""
    with pytest.raises(PlanError, match="no key 'first_bit'; the nearest name is 'first_bits'"):
        Plan.from_dict({"first_bit": 8})
