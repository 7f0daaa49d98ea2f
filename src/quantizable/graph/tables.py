"""Checks of what nodes hold per mode: every mode has its table, and its numbers lie inside the law."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantizable.errors import GraphError
from quantizable.graph.borders import int_weights
from quantizable.graph.model import FLOAT_MODE, IntegerModel
from quantizable.graph.nodes import Affine, AffineTable, IntegerConv, IntegerLinear, Quantize, QuantizeTable, UnitTable

LEAST_STEP, LARGEST_STEP = 2.0**-30, 2.0**30


def check_tables(model: IntegerModel) -> None:
    """Return nothing where every table is there and sound.

    Raises:
        GraphError: a table is missing, too many, of a wrong shape or dtype, or holds a number that the law does not allow.
    """
    steps = {node.name: node.tables for node in model.nodes if isinstance(node, Quantize)}
    codes = {weight.name: weight.codes for weight in model.weights}
    for node in model.nodes:
        if not isinstance(node, Quantize | IntegerConv | IntegerLinear | Affine):
            continue
        expected = model.integer_modes if isinstance(node, Quantize) else model.modes
        if set(node.tables) != set(expected):
            found = ", ".join(node.tables) or "no mode"
            raise GraphError(f"{model.name}: {node.name}: has tables for {found}, needs {', '.join(expected)}; freeze again")
        for mode in expected:
            where, table = f"{model.name}: {node.name}: mode {mode}", node.tables[mode]
            if isinstance(table, QuantizeTable):
                _check_quantize(where, table)
            elif isinstance(table, AffineTable):
                _check_vector(where, "multiplier", table.multiplier, len(table.multiplier))
                _check_vector(where, "offset", table.offset, len(table.multiplier))
            elif not isinstance(node, Affine | Quantize):
                zero_point = 0.0 if mode == FLOAT_MODE else steps[node.source][mode].zero_point
                _check_unit(where, table, len(codes[node.weight]), is_float=mode == FLOAT_MODE)
                _check_border(where, node, table, codes[node.weight], zero_point)


def _check_quantize(where: str, table: QuantizeTable) -> None:
    if type(table.bits) is not int or not 1 <= table.bits <= 8:
        raise GraphError(f"{where}: activation bits must be 1 to 8, found {table.bits!r}; freeze the network again")
    if not (LEAST_STEP <= table.step <= LARGEST_STEP and float(np.float32(table.step)) == table.step):  # also catches NaN
        raise GraphError(f"{where}: the step must be a float32 number from 2^-30 to 2^30, found {table.step!r}; calibrate the layer again")
    halves = 2 * table.zero_point
    if not (0 <= table.zero_point <= 2**table.bits - 1 and halves == int(halves)):
        raise GraphError(f"{where}: the zero point must be a multiple of 1/2 from 0 to {2**table.bits - 1}, found {table.zero_point!r}")


def _check_unit(where: str, table: UnitTable, channels: int, *, is_float: bool) -> None:
    allowed = (32,) if is_float else range(1, 9)
    if type(table.weight_bits) is not int or table.weight_bits not in allowed:
        words = "32" if is_float else "1 to 8"
        raise GraphError(f"{where}: weight bits must be {words}, found {table.weight_bits!r}; freeze the network again")
    _check_vector(where, "multiplier", table.multiplier, channels)
    _check_vector(where, "offset", table.offset, channels)
    if table.exact is None:
        return
    if table.exact.dtype != np.float64 or table.exact.shape != (2, channels) or not np.isfinite(table.exact).all():
        raise GraphError(f"{where}: exact must be finite float64 (2, {channels}), found {table.exact.dtype} {table.exact.shape}")


def _check_border(where: str, node: IntegerConv | IntegerLinear, table: UnitTable, codes: NDArray[np.uint8], zero_point: float) -> None:
    """Check that `exact` is there where padding needs it, and says the same as multiplier and offset."""
    is_padded = isinstance(node, IntegerConv) and any(map(any, node.padding))
    if (table.exact is not None) != (is_padded and zero_point != 0):
        state = "missing" if table.exact is None else "there"
        raise GraphError(f"{where}: exact is {state}, the zero point is {zero_point} and padding {'not ' * is_padded}zero; freeze again")
    if table.exact is None:
        return
    multiplier, offset = table.exact
    weight = int_weights(codes, table.weight_bits).astype(np.int64)
    taps = weight.reshape(len(weight), -1).sum(1).astype(np.float32).astype(np.float64)
    with np.errstate(over="ignore"):
        inside = (offset - multiplier * np.float64(zero_point) * taps).astype(np.float32)
        is_same = np.array_equal(inside, table.offset) and np.array_equal(multiplier.astype(np.float32), table.multiplier)
    if not is_same:
        raise GraphError(f"{where}: exact disagrees with multiplier and offset; freeze the network again")


def _check_vector(where: str, what: str, values: NDArray[np.float32], channels: int) -> None:
    if values.dtype != np.float32 or values.shape != (channels,):
        raise GraphError(f"{where}: {what} must be float32 ({channels},), found {values.dtype} {values.shape}; freeze the network again")
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        raise GraphError(f"{where}: {what} must be finite, found {n_bad} of {channels} that are not; train or calibrate the network again")
