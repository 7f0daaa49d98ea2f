"""What an IntegerModel offers beside its fields: fewer modes, and equality by value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tiny_models import tiny_model, with_float

from quantizable.graph import check, equal, run


def test_keeping_a_mode_leaves_its_output_as_it_was():
    """A prefix of a file is such a model: whole for the modes it has."""
    model = with_float(tiny_model())
    check(model)
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 4)).astype(np.float32)
    kept = model.keep(("w2a4",))
    check(kept)
    assert kept.modes == ("w2a4",)
    assert kept.float_weights == ()
    assert np.array_equal(run(kept, x, "w2a4"), run(model, x, "w2a4"))
    assert model.keep(model.modes).modes == model.modes


def test_codes_at_fewer_bits_ignore_the_lower_bits():
    """Promise: a mode of b bits reads the top b bits alone, so that a file may leave the others out."""
    model = tiny_model().keep(("w2a4",))
    cut = replace(model, weights=(replace(model.weights[0], codes=model.weights[0].codes & 0b11000000), model.weights[1]))
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 4)).astype(np.float32)
    assert np.array_equal(run(cut, x, "w2a4"), run(model, x, "w2a4"))


def test_models_are_equal_by_value():
    """Two models made alike are equal; a bit, a name, a dtype, or a sign of zero apart is not."""
    model = tiny_model()
    assert equal(model, tiny_model())
    codes = model.weights[0].codes.copy()
    codes[0, 0, 0, 0] ^= 1
    assert not equal(model, replace(model, weights=(replace(model.weights[0], codes=codes), *model.weights[1:])))
    assert not equal(model, replace(model, name="other"))
    assert not equal(model, model.keep(("w8a8",)))
    assert not equal(np.zeros(1, np.float32), -np.zeros(1, np.float32))
    assert not equal(np.zeros(1, np.float32), np.zeros(1, np.float64))
    assert not equal(1, 1.0)
