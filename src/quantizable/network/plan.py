"""The plan: how `convert` treats the layers of a network."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import Literal

from quantizable.errors import PlanError
from quantizable.network.quantizers import QUANTIZERS


@dataclass(frozen=True, slots=True)
class Plan:
    """What each layer becomes. Patterns are shell patterns over layer names, such as ``layer1.*``.

    quantizer: the family of every layer that `quantizers` does not name; "nested" is the one that freezes to one file.
    quantizers: pairs (pattern, family); the last that fits wins. Naming a layer that cannot be quantized is an error.
    first_bits, last_bits: width of weights and activations of the first and the last layer in every integer mode; None: the mode's.
    keep_float: patterns of layers that stay float in every mode; one that fits a module keeps all layers in it float.
    channel_rms: range of a weight channel in multiples of its root mean square; None: its largest magnitude.
    norms: "per_mode" gives each integer mode statistics and affine of its own (the paper's), "shared" lets all use one set.
    """

    quantizer: str = "nested"
    quantizers: tuple[tuple[str, str], ...] = ()
    first_bits: int | None = 8
    last_bits: int | None = 8
    keep_float: tuple[str, ...] = ()
    channel_rms: float | None = 3.0
    norms: Literal["per_mode", "shared"] = "per_mode"

    def __post_init__(self) -> None:
        for family in (self.quantizer, *(family for _, family in self.quantizers)):
            if family not in QUANTIZERS:
                raise PlanError(f"plan: no quantizer {family!r}{nearest(family, QUANTIZERS)}; known are {', '.join(QUANTIZERS)}")
        for what, bits in (("first_bits", self.first_bits), ("last_bits", self.last_bits)):
            if bits is not None and not 1 <= bits <= 8:
                raise PlanError(f"plan: {what} must be 1 to 8 or None, found {bits}")
        if self.channel_rms is not None and not 0 < self.channel_rms < 2**20:
            raise PlanError(f"plan: channel_rms must be above 0, found {self.channel_rms}; 3.0 fits most networks")
        if self.norms not in ("per_mode", "shared"):
            raise PlanError(f"plan: norms must be 'per_mode' or 'shared', found {self.norms!r}")

    def family_of(self, layer: str) -> str:
        """Return the quantizer family of the layer with this name."""
        family = self.quantizer
        for pattern, named in self.quantizers:
            if fnmatchcase(layer, pattern):
                family = named
        return family

    def keeps_float(self, layer: str) -> str | None:
        """Return the pattern that keeps this layer float, by its name or by that of a module around it, or None."""
        around = list(accumulate(layer.split("."), "{}.{}".format))
        return next((pattern for pattern in self.keep_float if any(fnmatchcase(name, pattern) for name in around)), None)

    def to_dict(self) -> dict[str, object]:
        """Return the plan as JSON-ready values; `from_dict` reads them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Plan:
        """Return the Plan that `to_dict` wrote.

        Raises:
            PlanError: an unknown key or a wrong value.
        """
        known = set(cls.__dataclass_fields__)
        for key in values:
            if key not in known:
                raise PlanError(f"plan: no key {key!r}{nearest(key, known)}")
        named = dict(values)
        named["quantizers"] = tuple((str(p), str(f)) for p, f in values.get("quantizers", ()))  # type: ignore[attr-defined]
        named["keep_float"] = tuple(values.get("keep_float", ()))  # type: ignore[arg-type]
        return cls(**named)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Structure:
    """What one pass through the float network showed about its layers, by name.

    first, last: the layers that ran first and last.
    norms: pairs (layer, norm) where the norm is the only reader of the layer's output: they are computed as one unit.
    shared_inputs: pairs (layer, earlier layer) that read the same tensor: they share its codes.
    relus_read_by_layers_only: pairs (ReLU, layer), all layers that read a ReLU's output where nothing else reads it and they read
        nothing else: their codes clip at zero themselves.
    idle: pairs (layer, why) for layers that the pass did not call, or whose weight it read without calling them: they stay float.
    code_readers: pairs (layer or ReLU, layer): the second reads what the first makes, through its norm and a ReLU behind, perhaps
        beside others. A hint for speed: the first then makes the codes of the second. Nothing else depends on it.
    """

    first: str | None = None
    last: str | None = None
    norms: tuple[tuple[str, str], ...] = field(default=())
    shared_inputs: tuple[tuple[str, str], ...] = field(default=())
    relus_read_by_layers_only: tuple[tuple[str, str], ...] = field(default=())
    idle: tuple[tuple[str, str], ...] = field(default=())
    code_readers: tuple[tuple[str, str], ...] = field(default=())


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; the nearest name is '...'`` or nothing, for the end of an error."""
    found = difflib.get_close_matches(word, list(known), 1)
    return f"; the nearest name is {found[0]!r}" if found else ""
