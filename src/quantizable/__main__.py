"""`python -m quantizable` is the command `quantizable`."""

from __future__ import annotations

import sys

from quantizable.cli import main

if __name__ == "__main__":
    sys.exit(main())
