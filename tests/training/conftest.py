"""Small networks, recipes and runs for the tests of training."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from small_networks import environment, make_network
from torch import Tensor, nn

from quantizable.training import Recipe, check_recipe


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Images float32 (24, 1, 8, 8) and labels int64 (24,) of three classes."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(24, 1, 8, 8, generator=generator), torch.randint(3, (24,), generator=generator)


@pytest.fixture
def network(batch: tuple[Tensor, Tensor]) -> nn.Module:
    """A calibrated network with three outputs in the modes of MODES, in training."""
    return make_network(batch[0])


@pytest.fixture
def tiny() -> Callable[..., Recipe]:
    """Makes recipes of runs that take a second; `tiny(train__lr=0.1)` sets one key of a section."""

    def make(**keys: object) -> Recipe:
        values: dict[str, dict[str, object]] = {
            "model": {"name": "digits_net", "options": {"width": 0.25}},
            "data": {"name": "digits"},
            "quantize": {"modes": ["fp32", "w4a4", "w1a1"]},
            "loss": {},
            "train": {"epochs": 1, "batch_size": 256, "warmup_steps": 2, "calibration_batches": 2, "threads": 1},
        }
        for place, value in keys.items():
            section, _, key = place.partition("__")
            values[section][key] = value
        return check_recipe({"name": "tiny", **values})

    return make


@pytest.fixture
def launch() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs python with these words in a fresh process: one thread, the package of this process, at most two minutes."""

    def run(words: Sequence[str], *, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120, check=False
        )

    return run
