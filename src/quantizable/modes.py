"""Bit modes: the pair of widths a network can be in, such as ``w4a4``, and their order.

A mode is written ``fp32`` or ``w<bits>a<bits>``, each 1 to 8; an int ``4`` means ``w4a4`` and ``32`` means ``fp32``.
A mode that overrides the bits of some layers carries a label, so that two of one width can stand side by side: ``w4a4:wide``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from quantizable.errors import ModeError

FLOAT_BITS = 32
_LABEL = re.compile(r"[A-Za-z0-9_-]+")
_NAME = re.compile(rf"w(\d+)a(\d+)(?::({_LABEL.pattern}))?")


@dataclass(frozen=True, slots=True)
class Mode:
    """A bit mode: weight bits and activation bits (1 to 8, or both 32 for ``fp32``), and its exceptions.

    overrides: pairs (pattern of layer names, (weight bits, activation bits)); the last pattern that fits a layer wins.
    """

    weight_bits: int
    activation_bits: int
    label: str = ""
    overrides: tuple[tuple[str, tuple[int, int]], ...] = ()

    def __post_init__(self) -> None:
        _check_bits(self.name, self.weight_bits, self.activation_bits)
        if self.label and not _LABEL.fullmatch(self.label):
            raise ModeError(f"mode {self.name!r}: a label is letters, digits, '_' and '-', found {self.label!r}; write 'w4a4:wide'")
        for _, bits in self.overrides:
            _check_bits(self.name, *bits)
        if self.is_float and (self.overrides or self.label):
            raise ModeError("mode 'fp32': has no bits to override; put the exceptions on an integer mode")

    @property
    def is_float(self) -> bool:
        """True for ``fp32``."""
        return self.weight_bits == FLOAT_BITS

    @property
    def name(self) -> str:
        """The canonical name: ``fp32``, ``w4a4``, ``w4a4:wide``."""
        if self.is_float:
            return "fp32"
        return f"w{self.weight_bits}a{self.activation_bits}" + (f":{self.label}" if self.label else "")

    def bits_of(self, layer: str) -> tuple[int, int]:
        """(weight bits, activation bits) of the layer with this name."""
        bits = (self.weight_bits, self.activation_bits)
        for pattern, special in self.overrides:
            if fnmatchcase(layer, pattern):
                bits = special
        return bits

    def __str__(self) -> str:
        return self.name


def parse_mode(mode: Mode | str | int) -> Mode:
    """Return the Mode that a name or an int stands for.

    Raises:
        ModeError: not an int or a name of that form, or bits out of range.
    """
    if isinstance(mode, Mode):
        return mode
    if isinstance(mode, bool) or not isinstance(mode, int | str):
        raise ModeError(f"mode {mode!r}: a mode is an int or a name, found {type(mode).__name__}; write for example 4 or 'w4a4'")
    if isinstance(mode, int):
        return Mode(mode, mode)
    if mode in ("fp32", "32"):
        return Mode(FLOAT_BITS, FLOAT_BITS)
    if mode.isdecimal():
        return Mode(int(mode), int(mode))
    found = _NAME.fullmatch(mode)
    if not found:
        raise ModeError(f"mode {mode!r}: not a mode; write 'fp32' or 'w<bits>a<bits>', for example 'w4a4'")
    weight_bits, activation_bits = int(found[1]), int(found[2])
    _check_bits(mode, weight_bits, activation_bits, float_allowed=False)
    return Mode(weight_bits, activation_bits, found[3] or "")


def parse_modes(modes: Mode | str | int | Iterable[Mode | str | int] | Mapping[str, Mapping[str, object]]) -> tuple[Mode, ...]:
    """Return the modes from the highest to the lowest; a mapping gives each mode its {layer pattern: bits}.

    Strings may list several: ``"fp32,w8a8,w4a4"``.

    Raises:
        ModeError: the list is empty, or a mode is misspelt or stands in it twice.
    """
    if isinstance(modes, Mapping):
        found = [_with_overrides(parse_mode(mode), overrides) for mode, overrides in modes.items()]
    elif isinstance(modes, str):
        found = [parse_mode(part.strip()) for part in modes.split(",") if part.strip()]
    elif isinstance(modes, int | Mode):
        found = [parse_mode(modes)]
    else:
        found = [parse_mode(mode) for mode in modes]
    if not found:
        raise ModeError("modes: the list is empty; name at least one, for example (32, 8, 4, 2)")
    names = [mode.name for mode in found]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ModeError(f"modes: {doubled[0]!r} stands in the list {names.count(doubled[0])} times; name each mode once")
    return tuple(sorted(found, key=_rank))


def _rank(mode: Mode) -> tuple[int, int, str]:
    return (-mode.weight_bits - mode.activation_bits, -mode.weight_bits, mode.label)


def _with_overrides(mode: Mode, overrides: object) -> Mode:
    if not isinstance(overrides, Mapping):
        found = type(overrides).__name__
        raise ModeError(f"mode {mode.name!r}: needs a mapping of layer patterns to bits, found {found}; write {{}} for none")
    pairs = []
    for pattern, bits in overrides.items():
        special = parse_mode(bits)
        if special.is_float:
            raise ModeError(f"mode {mode.name!r}: layer pattern {pattern!r} asks for float; list it in Plan.keep_float instead")
        pairs.append((pattern, (special.weight_bits, special.activation_bits)))
    return replace(mode, overrides=tuple(pairs))


def _check_bits(name: str, weight_bits: int, activation_bits: int, *, float_allowed: bool = True) -> None:
    if float_allowed and weight_bits == activation_bits == FLOAT_BITS:
        return
    for what, bits in (("weight", weight_bits), ("activation", activation_bits)):
        if not 1 <= bits <= 8:
            raise ModeError(f"mode {name!r}: {what} bits must be 1 to 8, found {bits}; write for example 'w8a4', or 'fp32'")
