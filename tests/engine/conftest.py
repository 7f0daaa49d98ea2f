"""The models of other rooms' tests, which the engine runs as well."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("quantizable._native", reason="the compiled part is not built")
for room in ("artifact", "freeze", "graph"):
    sys.path.append(str(Path(__file__).parents[1] / room))
