"""Records as a training run, a study and a benchmark write them, with figures that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from quantizable.records import append_record

Figures = Mapping[str, float]
START = {
    "command": "quantizable train recipes/x.toml",
    "commit": "0123456789ab",
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "machine": {"cpu": "A CPU", "cores": 2, "flags": ["avx2"]},
    "threads": 1,
    "date": "2026-01-02T03:04:05+00:00",
}


@pytest.fixture
def write_run() -> Callable[..., Path]:
    """Return a function that writes the records of one run and returns its folder."""
    return _write_run


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two recipes of 3 seeds, the last run of ``hard`` unfinished; ``shared`` is higher by 1, 2 and 3 points in fp32."""
    for seed in range(3):
        top1 = {"fp32": 70.0 + seed, "w4a4": 69.0 + seed, "w1a1": 40.0}
        shared, hard = tmp_path / "shared" / f"seed{seed}", tmp_path / "hard" / f"seed{seed}"
        _write_run(shared, name="shared", seed=seed, trained=top1, post={"w4a4": 60.0}, settings={"teacher": "next"})
        lower = {"fp32": 69.0, "w4a4": 69.0 + seed, "w1a1": 40.0 + (-1) ** seed}
        epochs = 2 if seed == 2 else 5
        _write_run(hard, name="hard", seed=seed, trained=lower, done=epochs, settings={"teacher": None})
    append_record(tmp_path, {"kind": "claim", "title": "A study", "claim": "Shared is higher.", "baseline": "hard"})
    return tmp_path


@pytest.fixture
def benchmark_folder(tmp_path: Path) -> Path:
    """Two variants in two cases, five repetitions each; ``ours`` gives two different outputs in the second case."""
    append_record(tmp_path, {"kind": "start", **START, "command": "python benchmarks/step.py"})
    for repetition in range(5):
        for case, factor in (("batch 128", 1.0), ("batch 32", 0.25)):
            for variant, ms in (("plain", 100.0), ("ours", 50.0)):
                checksum = f"{repetition % 2}" if (variant, case) == ("ours", "batch 32") else "aa"
                row = {"kind": "time", "case": case, "variant": variant, "repetition": repetition, "ms": ms * factor + repetition}
                append_record(tmp_path, {**row, "checksum": checksum})
    return tmp_path


def _write_run(
    folder: Path,
    *,
    name: str = "digits",
    seed: int = 0,
    trained: Figures,
    post: Figures | None = None,
    done: int = 5,
    settings: object = None,
) -> Path:
    """Write a run of 5 epochs of which `done` are done; scores of `trained` only once it is finished."""
    append_record(folder, {"kind": "run", **START, "recipe": {"loss": settings, "seed": seed}, "seed": seed, "name": name})
    if post:
        row = {"kind": "evaluation", "when": "calibrated", "split": "test", "label": "post-training", "modes": _scores(post)}
        append_record(folder, row)
    for epoch in range(1, done + 1):
        validation = _scores({mode: top1 - 5 / epoch for mode, top1 in trained.items()})
        row = {"kind": "epoch", "epoch": epoch, "epochs": 5, "steps": 10 * epoch, "seconds": 36.0, "validation": validation}
        append_record(folder, {**row, "loss": dict.fromkeys(trained, 1 / epoch)})
    if done == 5:
        append_record(folder, {"kind": "evaluation", "when": "end", "split": "test", "label": "trained", "modes": _scores(trained)})
        append_record(folder, {"kind": "end", "seconds": 200.0, "epochs": 5, "checkpoint": "checkpoint"})
    return folder


def _scores(top1: Figures) -> dict[str, dict[str, float | int]]:
    return {mode: {"top1": figure, "top5": min(100.0, figure + 5), "loss": 0.5, "n": 10000} for mode, figure in top1.items()}
