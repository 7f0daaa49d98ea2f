"""Where the tensors of a plan lie in one arena: those that are needed at the same time lie apart, others share their place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from quantizable.engine.builder import Operand, Step, buffer_of
from quantizable.engine.tensor import Buffer

ALIGNMENT = 64  # as in cpp/engine/program.hpp
PADDING = 64  # kernels may read so many bytes past a tensor


@dataclass(frozen=True, slots=True)
class Arena:
    """offsets: bytes from the start, per buffer. scratch: where the threads' memory begins, scratch_bytes each. size_bytes: of all."""

    offsets: dict[Buffer, int]
    scratch: int
    scratch_bytes: int
    size_bytes: int


def arrange(steps: list[Step], threads: int) -> Arena:
    """Return places for the buffers of `steps`, the largest first, each at the lowest place that is free while it lives."""
    lives = _lives(steps)
    offsets: dict[Buffer, int] = {}
    end = 0
    for buffer in sorted(lives, key=lambda found: (-found.size_bytes, lives[found])):
        first, last = lives[buffer]
        taken = sorted(
            (offsets[other], offsets[other] + _room(other)) for other in offsets if lives[other][0] <= last and first <= lives[other][1]
        )
        at = 0
        for start, stop in taken:
            if at + _room(buffer) <= start:
                break
            at = max(at, stop)
        offsets[buffer] = at
        end = max(end, at + _room(buffer))
    scratch_bytes = _up(max((step.scratch_bytes for step in steps), default=0))
    return Arena(offsets, end, scratch_bytes, end + threads * scratch_bytes)


def _lives(steps: list[Step]) -> dict[Buffer, tuple[int, int]]:
    """Return (first step, last step) that touches each buffer of the arena."""
    lives: dict[Buffer, tuple[int, int]] = {}
    for number, step in enumerate(steps):
        for buffer in _buffers((*step.reads.values(), *step.writes.values())):
            first, _ = lives.get(buffer, (number, number))
            lives[buffer] = (first, number)
    return lives


def _buffers(operands: Iterable[Operand]) -> Iterable[Buffer]:
    found = map(buffer_of, operands)
    return [buffer for buffer in found if buffer is not None and buffer.space == "arena"]


def _room(buffer: Buffer) -> int:
    return _up(buffer.size_bytes + PADDING)


def _up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
