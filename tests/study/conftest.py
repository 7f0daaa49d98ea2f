"""A base recipe and study files for runs of a second on digits, and the command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

BASE = """
name = "tiny"
[model]
name = "digits_net"
options = {width = 0.25}
[data]
name = "digits"
[quantize]
modes = ["fp32", "w4a4", "w1a1"]
[train]
epochs = 2
batch_size = 256
warmup_steps = 2
calibration_batches = 2
checkpoint_minutes = 0
threads = 1
"""
STUDY = """
recipe = "base.toml"
seeds = [0, 1]
start = "float"
[variants.float]
"quantize.modes" = ["fp32"]
[variants.shared]
[variants.hard]
"loss.teacher" = "none"
"""


@pytest.fixture
def write_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Returns a function that writes base.toml and study.toml (text, then more) into the working folder, and returns the study."""
    monkeypatch.chdir(tmp_path)

    def write(text: str = STUDY, *, more: str = "") -> Path:
        Path("base.toml").write_text(BASE)
        path = Path("study.toml")
        path.write_text(text + more)
        return path

    return write


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `quantizable` with these words in a process of its own: one thread, stdout and stderr to be read."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}

    def run(words: Sequence[str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "quantizable", *words]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return run
