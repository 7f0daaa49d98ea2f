"""Words of a command line that trains in a second."""

from __future__ import annotations

from pathlib import Path

DIGITS = str(Path(__file__).parents[2] / "recipes" / "digits.toml")
TINY = [
    "model.options.width=0.25",
    "quantize.modes=fp32,w4a4,w1a1",
    "train.epochs=1",
    "train.batch_size=256",
    "train.calibration_batches=2",
    "train.threads=1",
]
