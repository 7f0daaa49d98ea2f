"""What runs and what is left, live: a block of lines on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from quantizable.study.work import Outcome


class Display:
    """Shows the last word of each run that goes on, and how many are left.

    Args:
        out: default stderr.
    """

    def __init__(self, *, out: TextIO | None = None) -> None:
        self.out = sys.stderr if out is None else out
        self._is_live = self.out.isatty()
        self._last: dict[str, str] = {}
        self._said = ""
        self._n_left = self._n_drawn = 0

    def begin(self, key: str) -> None:
        """Show a run that begins."""
        self._last[key] = "begins"
        self._show(f"{key}: begins")

    def line(self, key: str, text: str) -> None:
        """Show the last word of a run: epoch, rate, time left."""
        if text and not text.startswith(f"{key} ("):  # not the heading that a worker prints above its one run
            self._last[key] = text
            self._show(f"{key}: {text}")

    def last(self, key: str) -> str:
        """Return the last word of a run."""
        return self._last.get(key, "")

    def end(self, key: str, outcome: Outcome) -> None:
        """Show for good what became of a run."""
        self._last.pop(key, None)
        self.say(f"{key}: {outcome.kind}" + (f", {outcome.error}" if outcome.error else ""))

    def left(self, count: int) -> None:
        """Tell how many runs have not begun."""
        if count != self._n_left:
            self._n_left = count
            self._show(f"{count} runs left")

    def say(self, text: str) -> None:
        """Show a line that stays, unless it was the last one said."""
        if text == self._said:
            return
        self._said = text
        self._clear()
        print(text, file=self.out, flush=True)
        if self._is_live:
            self._draw()

    def close(self) -> None:
        """Take the block away."""
        self._clear()

    def _show(self, text: str) -> None:
        if not self._is_live:
            print(text, file=self.out, flush=True)
            return
        self._clear()
        self._draw()

    def _draw(self) -> None:
        width = max(map(len, self._last), default=0)
        rows = [f"{key:<{width}}  {text}" for key, text in self._last.items()]
        rows.append(f"{len(self._last)} running, {self._n_left} left")
        columns = _width(self.out)  # cut to the width: a line that wraps cannot be taken away
        print("\n".join(row[: columns - 1] for row in rows), file=self.out, flush=True)
        self._n_drawn = len(rows)

    def _clear(self) -> None:
        if self._n_drawn:
            print(f"\x1b[{self._n_drawn}F\x1b[J", end="", file=self.out, flush=True)
        self._n_drawn = 0


def _width(out: TextIO) -> int:
    try:
        return os.get_terminal_size(out.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
