"""The command `quantizable`: finds the command's module, parses, runs, and turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from quantizable.errors import QuantizableError

COMMANDS = {
    "train": "train a network in all its bit modes, as a recipe says",
    "study": "carry out a grid of recipes and seeds, resumable",
    "evaluate": "measure a checkpoint's accuracy in every mode",
    "calibrate": "estimate the steps and norms of modes, without training",
    "describe": "show layer by layer what a network became and why",
    "report": "make tables, plots and one HTML page from records",
    "check": "show CPU features and versions, and what is missing",
}
DONE, WRONG_USE, INTERRUPTED = 0, 2, 130  # 1 belongs to the commands: it ran and the answer is no


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 1 it ran and the answer is no, 2 wrong use or input, 130 interrupted.

    An error of the user's is one line on stderr; QUANTIZABLE_DEBUG=1 shows its traceback instead.

    Args:
        argv: the words after the program's name; None takes those of this process.
    """
    try:
        code = _exit_code(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # here, where a reader that went away is still met by the lines below
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains about it at exit
        return DONE
    return code


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def __init__(self, *, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, formatter_class=_Formatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"error: {self.prog}: {message}; `{self.prog} --help` shows how to write it\n")


class _Formatter(argparse.HelpFormatter):
    """Wraps paragraphs, and leaves tables and examples as they were typed, so that they work as pasted."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.split("\n\n")
        is_typed = ["\n " in paragraph or paragraph.startswith("example") for paragraph in paragraphs]
        return "\n\n".join(
            p if typed else super(_Formatter, self)._fill_text(p, width, indent) for p, typed in zip(paragraphs, is_typed, strict=True)
        )


def _exit_code(words: list[str]) -> int:
    try:
        return _dispatch(words)
    except SystemExit as stop:  # argparse, after --help or a wrong argument
        return stop.code if isinstance(stop.code, int) else DONE
    except (QuantizableError, ModuleNotFoundError) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if os.environ.get("QUANTIZABLE_DEBUG") == "1" or (missing or "").startswith("quantizable"):
            raise  # a missing module of ours is our own mistake
        if missing:
            return _fail(f"quantizable: module {missing!r} is not installed; type `quantizable check`, it shows how to get it")
        return _fail(str(error))


def _dispatch(words: list[str]) -> int:
    parser = _top_parser()
    if not words:
        parser.print_help(sys.stderr)
        return WRONG_USE
    name, *rest = words
    if name.startswith("-"):
        parser.parse_args(words[:1])
        return DONE
    if name not in COMMANDS:
        return _fail(_unknown(name))
    module = import_module(f"quantizable.cli.{name}")
    command = _command_parser(name, module)
    code: int = module.run(command.parse_intermixed_args(rest))  # intermixed: `train RECIPE --run DIR train.lr=0.1`
    return code


def _top_parser() -> _Parser:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    parser = _Parser(prog="quantizable", description=f"Train a network once for several bit widths.\n\ncommands:\n{rows}")
    parser.usage = "quantizable COMMAND ..."
    parser.epilog = "`quantizable COMMAND --help` shows the arguments of one command and an example."
    parser.add_argument("--version", action=_Version)
    return parser


def _command_parser(name: str, module: ModuleType) -> _Parser:
    """Return the parser of one command; its help begins with the command's line of the table and ends with the module's EXAMPLE."""
    parser = _Parser(prog=f"quantizable {name}", description=(module.__doc__ or "").partition("\n\n")[2].strip())
    if hasattr(module, "EXAMPLE"):
        parser.epilog = f"example: {module.EXAMPLE}"
    module.add_arguments(parser)
    line = COMMANDS[name]
    parser.description = f"{line[0].upper()}{line[1:]}.\n\n{parser.description}"
    return parser


class _Version(argparse.Action):
    """Prints the version of the installed package; reading it takes longer than all the rest, so only when asked."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"quantizable {version('quantizable')}")
        except PackageNotFoundError:
            print("quantizable, run from its sources without being installed")
        parser.exit()


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return WRONG_USE


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    nearest = get_close_matches(name, COMMANDS, n=1)
    advice = f"the nearest is {nearest[0]!r}" if nearest else f"there are {', '.join(COMMANDS)}"
    return f"quantizable: no command {name!r}; {advice}"
