"""The dispatcher: what it prints where, its exit codes, and that it loads only the command that was asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from quantizable.cli import main
from quantizable.cli.main import COMMANDS
from quantizable.errors import RecipeError

FOLDER = Path(sys.modules["quantizable.cli.main"].__file__ or "").parent
LONG = "recipe.toml " + "train.lr=0.1 " * 10 + "--out here"


@pytest.fixture
def fake_command(monkeypatch):
    """A command `fake` whose behaviour a test chooses: `fake_command(run)`."""

    def install(run):
        module = ModuleType("quantizable.cli.fake", f"quantizable fake: for tests.\n\nMore of it. {'Prose. ' * 20}")
        module.add_arguments = _add_arguments
        module.run = run
        module.EXAMPLE = f"quantizable fake {LONG}"
        monkeypatch.setitem(sys.modules, "quantizable.cli.fake", module)
        monkeypatch.setitem(COMMANDS, "fake", "do as the test says")

    return install


def test_help_lists_every_command_and_ends_with_0(capsys):
    """Promise: help goes to stdout."""
    assert main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert all(f"  {name} " in out and text in out for name, text in COMMANDS.items())
    assert err == ""


def test_no_command_shows_the_help_on_stderr_and_ends_with_2(capsys):
    """Promise: nothing asked for is wrong use."""
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "commands:" in err


def test_an_unknown_command_names_the_nearest(capsys):
    """Promise: one line, exit 2, advice stated."""
    assert main(["chek"]) == 2
    assert capsys.readouterr().err == "error: quantizable: no command 'chek'; the nearest is 'check'\n"
    assert main(["xyzzy"]) == 2
    assert "there are train, " in capsys.readouterr().err


@pytest.mark.parametrize("words", [["check", "--jsn"], ["check", "extra"], ["--nonsense"]])
def test_a_wrong_argument_is_one_line_and_2(words, capsys):
    """Promise: one error line that names the help, no usage dump, no traceback."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: quantizable")
    assert err.count("\n") == 1
    assert words[-1] in err
    assert "--help`" in err


def test_help_wraps_prose_and_keeps_the_example_as_typed(fake_command, monkeypatch, capsys):
    """Promise: an example works as pasted, however long it is; the table's line comes first, then what the module says."""
    monkeypatch.setenv("COLUMNS", "60")
    fake_command(lambda args: 0)
    assert main(["fake", "--help"]) == 0
    out = capsys.readouterr().out
    assert "Do as the test says.\n\nMore of it." in out
    assert f"\nexample: quantizable fake {LONG}\n" in out
    assert all(len(line) <= 60 for line in out.splitlines() if not line.startswith("example"))


def test_options_may_stand_between_the_words_of_a_command(fake_command, capsys):
    """Promise: `train RECIPE --run DIR train.lr=0.1` reads as it is written."""
    fake_command(lambda args: print(args.recipe, args.overrides, args.out) or 0)
    assert main(["fake", "a.toml", "--out", "here", "train.lr=0.1", "x=2"]) == 0
    assert capsys.readouterr().out == "a.toml ['train.lr=0.1', 'x=2'] here\n"


def test_the_exit_code_is_the_commands_own(fake_command):
    """Promise: 1 means that it ran and the answer is no."""
    fake_command(lambda args: 1)
    assert main(["fake", "a.toml"]) == 1


def test_an_error_of_the_user_is_one_line_and_2(fake_command, capsys):
    """Promise: no traceback for bad input."""
    fake_command(_raise(RecipeError("a.toml: unknown key 'lrr'; did you write 'lr'")))
    assert main(["fake", "a.toml"]) == 2
    assert capsys.readouterr() == ("", "error: a.toml: unknown key 'lrr'; did you write 'lr'\n")


def test_debug_shows_the_traceback(fake_command, monkeypatch):
    """Promise: QUANTIZABLE_DEBUG=1 lets the error through."""
    monkeypatch.setenv("QUANTIZABLE_DEBUG", "1")
    fake_command(_raise(RecipeError("bad")))
    with pytest.raises(RecipeError):
        main(["fake", "a.toml"])


def test_a_missing_package_leads_to_check(fake_command, capsys):
    """Promise: a missing extra is one line; a missing module of our own is a bug and raises."""
    fake_command(_raise(ModuleNotFoundError("No module named 'torch'", name="torch")))
    assert main(["fake", "a.toml"]) == 2
    err = capsys.readouterr().err
    assert "'torch' is not installed" in err
    assert "`quantizable check`" in err
    fake_command(_raise(ModuleNotFoundError("No module named 'quantizable.x'", name="quantizable.x")))
    with pytest.raises(ModuleNotFoundError):
        main(["fake", "a.toml"])


def test_an_interrupt_is_one_line_and_130(fake_command, capsys):
    """Promise: Ctrl-C leaves no traceback."""
    fake_command(_raise(KeyboardInterrupt()))
    assert main(["fake", "a.toml"]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_a_bug_keeps_its_traceback(fake_command):
    """Promise: only errors of the user are made short."""
    fake_command(_raise(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["fake", "a.toml"])


@pytest.mark.parametrize("words", ["--help", "check --help", "check"])
def test_a_reader_that_goes_away_is_no_error(words):
    """Promise: `quantizable ... | head -0` is silent."""
    program = [sys.executable, "-m", "quantizable", *words.split()]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()  # long before the process has anything to say
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")


def test_the_version_is_that_of_the_package(capsys):
    """Promise: `--version` prints name and version."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("quantizable")


def test_the_module_is_the_command():
    """Promise: `python -m quantizable` is the command, exit code included."""
    done = subprocess.run([sys.executable, "-m", "quantizable", "nonsense"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: quantizable: no command 'nonsense'")


@pytest.mark.parametrize("name", [name for name in COMMANDS if (FOLDER / f"{name}.py").exists()])
def test_the_help_of_a_command_teaches_and_loads_only_that_command(name):
    """Promise: help shows the table's text and an example, and loads no heavy package and no other command."""
    program = f"import sys; from quantizable.cli import main; assert main(['{name}', '--help']) == 0; print('loaded:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    text, _, loaded = done.stdout.rpartition("loaded:")
    assert COMMANDS[name][1:] in text
    assert re.search(rf"^example: quantizable {name}", text, re.MULTILINE)
    commands = {module.removeprefix("quantizable.cli.") for module in loaded.split()} & set(COMMANDS)
    assert commands == {name}
    assert not {"numpy", "torch", "pydantic", "rich", "matplotlib"} & set(loaded.split())


def _add_arguments(parser):
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--out")


def _raise(error):
    def run(args):
        raise error

    return run
