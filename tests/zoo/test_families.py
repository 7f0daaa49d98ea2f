"""Public networks of every family convert, train, switch, and are saved and loaded, as quantizable promises of any network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import pytest
from families import MODELS, Model
from visit import visit


@pytest.mark.timeout(240)  # most take 1 to 8 s on one core
@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.source}-{model.name}")
def test_a_public_network_keeps_every_promise(model: Model, tmp_path: Path, keep: Callable[[Mapping[str, object]], None]) -> None:
    """Untouched, fp32 bit for bit, finite gradients everywhere in a step of five modes, saved and loaded equal in all of them."""
    row = {"kind": "model", "family": model.family, "model": model.name, "source": model.source, "size": model.size}
    try:
        found = visit(model, tmp_path)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        keep({**row, "ok": False, "reason": f"{type(error).__name__}: {reason}"})
        raise
    keep({**row, "ok": True, **asdict(found)})


def test_the_zoo_holds_at_least_60_families_each_once() -> None:
    """Promise: models of at least 60 families; two rows of one family would count one wiring twice."""
    families = [model.family for model in MODELS]
    assert len(set(families)) == len(families) >= 60
