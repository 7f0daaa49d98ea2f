"""The rooms and their doors, read from the real imports: the table of docs/decisions.md, "Which room may import which".

Held without running the package (ast over every file) and with it (fresh processes that print what they loaded).
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "quantizable"
EVERYWHERE = {"errors", "modes"}
MAY_IMPORT = {  # room: the rooms it may import, beside itself and those of EVERYWHERE
    "errors": set(),
    "modes": set(),
    "_native": set(),
    "records": set(),
    "models": set(),
    "data": set(),
    "network": {"_native"},
    "training": {"network", "data", "models", "records"},
    "graph": set(),
    "artifact": {"graph"},
    "export": {"graph"},
    "engine": {"graph", "artifact", "_native"},
    "serve": {"engine", "artifact"},
    "freeze": {"network", "graph"},
    "report": {"records"},
    "study": {"training", "network", "records"},
    "__main__": {"cli"},
}
SEES_ALL = {"cli", "__init__"}  # the command line and the public face; at the top of a file they import no room
TORCH_FREE = {"graph", "artifact", "engine", "export", "serve", "errors", "modes", "records"}
HEAVY = {"torch", "numpy", "pydantic", "matplotlib", "rich", "safetensors", "sklearn", "PIL"}


@dataclass(frozen=True)
class Import:
    """One import of one name: `module` is the dotted path, `name` what is taken from it ("" for the module itself)."""

    line: int
    module: str
    name: str
    at_top: bool


def test_rooms_import_only_what_the_table_allows_and_enter_by_the_door():
    """Design, the rooms: the table, rooms entered by their `__init__`, and no torch in the half that runs."""
    assert violations(PACKAGE) == []


LIES = {
    "a room above": ("network/switch.py", "from quantizable.training import fit", "network may not import training"),
    "inside a function": ("data/cifar.py", "def f():\n    import quantizable.network", "data may not import network"),
    "a relative one": ("network/switch.py", "from ..training import fit", "network may not import training"),
    "from the package": ("network/switch.py", "from quantizable import training", "network may not import training"),
    "by name": ("data/cifar.py", "import importlib\nimportlib.import_module('quantizable.network')", "data may not import network"),
    "the public face": ("network/switch.py", "from quantizable import convert", "network may not import __init__"),
    "a file inside": ("training/loop.py", "from quantizable.network.layers import Layer", "enter network by its __init__"),
    "a file as a name": ("training/loop.py", "from quantizable.network import layers", "enter network by its __init__"),
    "a command too early": ("cli/train.py", "from quantizable.training import fit", "import training inside a function"),
    "torch where it may not be": ("graph/check.py", "def f():\n    from torch.nn import Module", "graph must not import torch"),
    "a room without a row": ("helpers/text.py", "", "room helpers has no row"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_wrong_import_is_found(lie, tmp_path):
    """The check above can fail: each way to break the rules is seen, with its file and line."""
    path, source, expected = LIES[lie]
    honest = {
        "network/__init__.py": "__all__ = ['layer']",
        "network/layers.py": "from quantizable.network.units import unit",
        "data/cifar.py": "",
    }
    for name, text in {**honest, path: source}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (found,) = violations(tmp_path)
    assert found.startswith(f"{path}:")
    assert expected in found


@pytest.mark.parametrize(
    "statement", ["import quantizable", "import quantizable.modes", "from quantizable.cli import main; main(['--help'])"]
)
def test_the_face_and_the_help_load_nothing_heavy(statement):
    """Promise: `import quantizable` and `quantizable --help` stay instant; numpy counts as heavy."""
    assert loaded_by(statement) & HEAVY == set()


@pytest.mark.parametrize("room", [room for room in sorted(TORCH_FREE) if list(PACKAGE.glob(f"{room}*"))])
def test_the_running_half_never_loads_torch(room):
    """Design: these rooms, as far as they are built, never import torch, not even through others."""
    assert "torch" not in loaded_by(f"import quantizable.{room}")


def test_no_file_has_more_than_400_lines():
    """Style: a file is one concept; past 400 lines it is two."""
    lengths = {
        str(path.relative_to(REPOSITORY)): len(path.read_bytes().splitlines())
        for folder in ("src", "cpp", "tests", "benchmarks", "scripts")
        for path in (REPOSITORY / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len(lengths) > 10
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level names in `sys.modules` of a fresh process after `statement`."""
    program = f"{statement}\nimport sys; print('modules:', *{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names = set(done.stdout.rpartition("modules:")[2].split())
    assert "quantizable" in names
    return names


def violations(package: Path) -> list[str]:
    """Return one line for each import in `package` that breaks a rule: file, line, rule."""
    return [f"{path.relative_to(package)}:{text}" for path in sorted(package.rglob("*.py")) for text in _of_file(path, package)]


def _of_file(path: Path, package: Path) -> Iterator[str]:
    room = path.relative_to(package).parts[0].removesuffix(".py")
    if room not in SEES_ALL and room not in MAY_IMPORT:
        yield f"1: room {room} has no row in MAY_IMPORT; add one, with its reason in docs/decisions.md"
        return
    for found in _imports(path, package):
        if found.module.partition(".")[0] == "torch" and room in TORCH_FREE:
            yield f"{found.line}: {room} must not import torch"
        if found.module.partition(".")[0] != "quantizable":
            continue
        target, *inside = _target(found, package)
        if target == room or (target == "__init__" and room == "cli"):
            continue
        if room in SEES_ALL:
            if found.at_top and target not in EVERYWHERE:
                yield f"{found.line}: import {target} inside a function"
        elif target not in MAY_IMPORT[room] | EVERYWHERE:
            yield f"{found.line}: {room} may not import {target}"
        if inside and (package / target).is_dir() and inside != [""] and not _is_public(inside, package / target):
            yield f"{found.line}: enter {target} by its __init__, not by {'.'.join(inside)}"


def _imports(path: Path, package: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(), filename=str(path))
    folder = ["quantizable", *path.relative_to(package).parent.parts]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    typing_only = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    deferred = {inner for node in (*functions, *typing_only) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        at_top = node not in deferred
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name, "", at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (Import(node.lineno, module, alias.name, at_top) for alias in node.names)
        elif isinstance(node, ast.Call) and "import_module" in ast.dump(node.func) and node.args and isinstance(node.args[0], ast.Constant):
            yield Import(node.lineno, str(node.args[0].value), "", at_top)


def _target(found: Import, package: Path) -> list[str]:
    """Return the room that an import enters, then the path inside it; the public face is the room `__init__`."""
    parts = [*found.module.split(".")[1:], *([found.name] if found.name else [])]
    is_room = parts and (parts[0] in MAY_IMPORT or parts[0] in SEES_ALL or (package / parts[0]).exists())
    return parts if is_room else ["__init__", *parts]


def _is_public(inside: list[str], room: Path) -> bool:
    """True where the door of the room offers the one name asked for, or it is no file of the room."""
    if len(inside) > 1:
        return False
    is_file = (room / inside[0]).is_dir() or (room / f"{inside[0]}.py").exists()
    return not is_file or inside[0] in _public_names(room)


def _public_names(room: Path) -> list[str]:
    door = room / "__init__.py"
    tree = ast.parse(door.read_text() if door.exists() else "")
    lists = [node.value for node in tree.body if isinstance(node, ast.Assign) and "__all__" in ast.dump(node.targets[0])]
    return [name for value in lists for name in ast.literal_eval(value)]
