"""Live progress of a run on stderr: a moving line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_QUIET_SECONDS = 30.0  # between two lines where nobody watches live
_LIVE_SECONDS = 0.2


class Progress:
    """Shows epoch, step, loss per mode, images a second, and the time left.

    Args:
        steps: of the whole run.
        is_on: False shows nothing (all processes but the first, --quiet).
        out: default stderr.
    """

    def __init__(self, steps: int, *, is_on: bool = True, out: TextIO | None = None) -> None:
        self.steps, self.is_on, self.out = steps, is_on, out or sys.stderr
        self._is_live = self.out.isatty()
        self._began: tuple[float, int] | None = None
        self._shown = 0.0
        self._images = 0

    def step(self, step: int, *, epoch: int, epochs: int, losses: dict[str, float], images: int) -> None:
        """Tell that `step` steps are done, the last of `images` images with these losses."""
        now = time.monotonic()
        if self._began is None:
            self._began = (now, step)
        self._images += images
        wait = _LIVE_SECONDS if self._is_live else _QUIET_SECONDS
        if not self.is_on or (now - self._shown < wait and step < self.steps):
            return
        self._shown = now
        seconds, done = now - self._began[0], step - self._began[1]
        rate = f"{self._images / seconds:.0f} images/s" if seconds > 0 and done else ""
        left = f"{_clock((self.steps - step) * seconds / done)} left" if done else ""
        shown = " ".join(f"{mode} {loss:.3f}" for mode, loss in losses.items())
        self._write(f"epoch {epoch + 1}/{epochs} step {step}/{self.steps}  {shown}  {rate}  {left}")

    def say(self, text: str) -> None:
        """Show a line that stays."""
        if self.is_on:
            print(("\r\x1b[2K" if self._is_live else "") + text, file=self.out, flush=True)

    def _write(self, text: str) -> None:
        if self._is_live:
            print(f"\r\x1b[2K{text}", end="", file=self.out, flush=True)
        else:
            print(text, file=self.out, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
