"""Live progress of a run on stderr: a moving line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TextIO

_LIVE_SECONDS = 0.2  # between two states of the moving line
_QUIET_SECONDS = 30.0  # between two lines where nobody watches live
_RATE_SECONDS = 10.0  # the rate is that of the last seconds; the time left is taken from the whole run, evaluations included


class Progress:
    """Shows epoch, step, loss per mode, images a second, and the time left.

    Args:
        steps: of the whole run.
        is_on: False shows nothing (all processes but the first, --quiet).
        out: default stderr.
        clock: seconds, default time.monotonic.
    """

    def __init__(self, steps: int, *, is_on: bool = True, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.steps, self.is_on, self.out = steps, is_on, sys.stderr if out is None else out
        self._clock = clock
        self._is_live = self.out.isatty()
        self._start: tuple[float, int] | None = None  # when, and after which step
        self._shown = float("-inf")
        self._is_open = False  # whether the moving line stands there
        self._recent: deque[tuple[float, int]] = deque()  # (end of a step, its images)

    def step(self, step: int, *, epoch: int, epochs: int, losses: Mapping[str, float], images: int) -> None:
        """Tell that `step` steps are done, the last of `images` images with these losses, in epoch `epoch` (from 0)."""
        if not self.is_on:
            return
        now = self._clock()
        if self._start is None:
            self._start = (now, step)
        self._recent.append((now, images))
        while now - self._recent[0][0] > _RATE_SECONDS and len(self._recent) > 2:
            self._recent.popleft()
        if now - self._shown < (_LIVE_SECONDS if self._is_live else _QUIET_SECONDS) and step < self.steps:
            return
        self._shown = now
        shown = " ".join(f"{mode} {loss:.3f}" for mode, loss in losses.items())
        self._write("  ".join((f"epoch {epoch + 1}/{epochs} step {step}/{self.steps}", *self._speed(now, step), shown)))

    def say(self, text: str) -> None:
        """Show a line that stays."""
        if self.is_on:
            print(("\r\x1b[2K" if self._is_live else "") + text, file=self.out, flush=True)
            self._is_open = False

    def end(self) -> None:
        """Leave the moving line as it is and go to the next."""
        if self._is_open:
            print(file=self.out, flush=True)

    def _speed(self, now: float, step: int) -> list[str]:
        """Return images a second and the time left; nothing before the second step, whose length is the first known."""
        assert self._start is not None
        seconds, done = now - self._start[0], step - self._start[1]
        first = self._recent[0][0]
        if done == 0 or now <= first:
            return []
        rate = sum(images for at, images in self._recent if at > first) / (now - first)
        return [f"{rate:.0f} images/s", f"{_duration((self.steps - step) * seconds / done)} left"]

    def _write(self, text: str) -> None:
        if self._is_live:  # cut to the width: a line that wraps cannot be overwritten
            print("\r\x1b[2K" + text[: _width(self.out) - 1], end="", file=self.out, flush=True)
            self._is_open = True
        else:
            print(text, file=self.out, flush=True)


def _width(out: TextIO) -> int:
    try:
        return os.get_terminal_size(out.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
