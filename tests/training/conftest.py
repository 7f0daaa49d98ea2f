"""Small networks, recipes and runs for the tests of training."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import quantizable as qz
from quantizable.models import DigitsNet
from quantizable.training import Recipe, check_recipe

REPOSITORY = Path(__file__).parents[2]
MODES = ("fp32", "w8a8", "w2a2", "w1a1")


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
    """Makes recipes of runs that take a second: `tiny("train.lr=1", epochs=2)`; words are section, key and value."""

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
        return subprocess.run([sys.executable, *words], cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120, check=False)

    return run


def make_network(images: Tensor, *, modes: Sequence[str] = MODES, norms: str = "per_mode", calibrated: bool = True) -> nn.Module:
    """Return a DigitsNet of a quarter of its width and three outputs, converted, in training."""
    torch.manual_seed(0)
    plan = qz.Plan(norms=norms)  # type: ignore[arg-type]
    network = qz.convert(DigitsNet(num_classes=3, width=0.25), modes, plan=plan, example=images[:2])
    if calibrated:
        qz.calibrate(network, [images])
    return network.train()


def environment() -> dict[str, str]:
    """The environment of a child process."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def gradients(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of every gradient, zeros where there is none."""
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in network.named_parameters()}
