"""Which kernel runs an operation: the rows of cpp/kernels/rows.inc, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from quantizable import _native
from quantizable.errors import EngineError

VARIABLE = "QUANTIZABLE_KERNELS"


class KernelRow(NamedTuple):
    """One kernel: its name, what it computes, on what, for which instruction set, and whether this CPU has that."""

    name: str
    operation: str
    operands: str
    set: str
    is_supported: bool


def kernel_rows() -> list[KernelRow]:
    """Return every kernel that was compiled, the fastest set first."""
    return [KernelRow(*row) for row in _native.engine_kernels()]


class Kernels:
    """The kernels of a session: the fastest that the CPU runs, or those of one set; `generic` where that set has none."""

    def __init__(self, forced: str | None, rows: Sequence[KernelRow] | None = None) -> None:
        """Choose; forced: the name of a set, what QUANTIZABLE_KERNELS says, None or "" for the fastest.

        Raises:
            EngineError: no set has this name, or the CPU cannot run it.
        """
        found = kernel_rows() if rows is None else list(rows)
        usable = list(dict.fromkeys(row.set for row in found if row.is_supported))
        if forced and forced not in usable:
            state = "this CPU cannot run it" if forced in {row.set for row in found} else "there is no such set"
            raise EngineError(f"{VARIABLE}={forced}: {state}; name one of {', '.join(usable)}, or none for the fastest")
        allowed = [forced, "generic"] if forced else usable
        self._names: dict[tuple[str, str], str] = {}
        for name in allowed:
            for row in found:
                if row.set == name and row.is_supported:
                    self._names.setdefault((row.operation, row.operands), row.name)

    def name(self, operation: str, operands: str) -> str:
        """Return the name of the kernel for an operation."""
        return self._names[operation, operands]
