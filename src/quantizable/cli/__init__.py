"""The command line: `main` hands the arguments to the module of the command that comes first, and to no other.

A new command is one file with EXAMPLE, `add_arguments(parser)` and `run(args) -> exit code`, and one row of COMMANDS in main.py.
Whatever a command needs it imports inside `run`, so that `quantizable --help` stays instant.
"""

from __future__ import annotations

from quantizable.cli.main import main

__all__ = ["main"]
