"""Writes golden files of one format version, with what they compute by the reference; never writes over one that is there.

python tests/artifact/golden/make.py     (once, when a format version is new)
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from frozen import every_kind, small, tiny  # noqa: E402

from quantizable.artifact import save_artifact  # noqa: E402
from quantizable.artifact.header import VERSION  # noqa: E402
from quantizable.graph import run  # noqa: E402


def main() -> None:
    for build in (tiny, small, every_kind):
        model = build()
        path = FOLDER / f"v{VERSION}-{model.name}.qdnn"
        if path.exists():
            print(f"{path.name} is there; golden files are never written again", file=sys.stderr)
            continue
        x = np.random.default_rng(0).normal(0, 1, (2, *model.input.shape)).astype(np.float32)
        outputs = {mode: run(model, x, mode) for mode in model.modes}
        save_artifact(model, path)
        np.savez(path.with_suffix(".npz"), input=x, **outputs)


if __name__ == "__main__":
    main()
