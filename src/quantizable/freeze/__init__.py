"""A trained quantizable network -> IntegerModel: trace, fold, lower.

trace: torch.export of the float mode, as calls; fold: tables of layers and norms per mode; lower, operators: calls to operations.
"""

from __future__ import annotations

from quantizable.freeze.freeze import freeze

__all__ = ["freeze"]
