"""Progress: what is shown where, with a clock that the test turns."""

from __future__ import annotations

import io
import os
import pty

import pytest

from quantizable.training.progress import Progress


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal, without a size of its own."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock():
    return Clock()


def run(progress, clock, *, steps, seconds=1.0, images=64):
    for step in range(1, steps + 1):
        clock.now += seconds
        progress.step(step, epoch=(step - 1) // 10, epochs=10, losses={"fp32": 0.5, "w1a1": 1.25}, images=images)


def test_elsewhere_a_line_now_and_then(clock):
    """Promise: the first step, every half minute, the last step; each a whole line without control codes."""
    out = io.StringIO()
    run(Progress(100, out=out, clock=clock), clock, steps=100)
    lines = out.getvalue().splitlines()
    assert [line.split("step ")[1].split("/")[0] for line in lines] == ["1", "31", "61", "91", "100"]
    assert "\x1b" not in out.getvalue()
    assert "\r" not in out.getvalue()


def test_a_line_has_place_rate_time_left_and_losses(clock):
    """Promise: 64 images a second and 69 seconds left after 31 of 100 steps of a second."""
    out = io.StringIO()
    run(Progress(100, out=out, clock=clock), clock, steps=31)
    assert out.getvalue().splitlines()[-1] == "epoch 4/10 step 31/100  64 images/s  1:09 left  fp32 0.500 w1a1 1.250"


def test_the_first_step_has_no_rate(clock):
    """No guess before a length is known."""
    out = io.StringIO()
    run(Progress(100, out=out, clock=clock), clock, steps=1)
    assert out.getvalue() == "epoch 1/10 step 1/100  fp32 0.500 w1a1 1.250\n"


def test_the_rate_is_that_of_the_last_seconds(clock):
    """A pause (an evaluation) leaves the rate once it is ten seconds ago; the time left knows of it."""
    out = io.StringIO()
    progress = Progress(1000, out=out, clock=clock)
    run(progress, clock, steps=2)
    clock.now += 1000
    for step in range(3, 40):
        clock.now += 1
        progress.step(step, epoch=0, epochs=1, losses={}, images=64)
    assert "64 images/s" in out.getvalue().splitlines()[-1]
    assert ":" in out.getvalue().splitlines()[-1].split("left")[0].split()[-1].partition(":")[2]  # hours


def test_on_a_terminal_one_line_moves(clock):
    """Promise: five states a second at most, each over the one before; what is said stays above."""
    out = Terminal()
    progress = Progress(1000, out=out, clock=clock)
    run(progress, clock, steps=100, seconds=0.1)
    progress.say("validated")
    progress.end()  # nothing moves any more: no empty line
    text = out.getvalue()
    assert 30 <= text.count("\r\x1b[2Kepoch ") <= 51
    assert text.endswith("\r\x1b[2Kvalidated\n")
    assert text.count("\n") == 1
    progress.step(101, epoch=0, epochs=1, losses={}, images=1)
    clock.now += 1
    progress.step(102, epoch=0, epochs=1, losses={}, images=1)
    progress.end()
    assert out.getvalue().endswith("left  \n")


def test_a_line_never_wraps():
    """A line as wide as the terminal could not be overwritten: it is cut."""
    leader, follower = pty.openpty()
    try:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
        with os.fdopen(follower, "w") as out:
            Progress(10, out=out).step(1, epoch=0, epochs=1, losses=dict.fromkeys(("fp32", "w8a8", "w4a4"), 1.0), images=1)
            shown = os.read(leader, 1000).decode()
    finally:
        os.close(leader)
    assert len(shown.removeprefix("\r\x1b[2K")) == 29


def test_quiet_shows_nothing(clock):
    """Promise: --quiet, and all processes but the first."""
    out = Terminal()
    progress = Progress(100, is_on=False, out=out, clock=clock)
    run(progress, clock, steps=100)
    progress.say("hello")
    progress.end()
    assert out.getvalue() == ""
