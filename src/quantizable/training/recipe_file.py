"""Recipe files: TOML in, with words of the command line applied, and TOML out, with every default written."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantizable.errors import RecipeError
from quantizable.training.recipe import Recipe, check_recipe


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the checked recipe of a TOML file, with ``section.key=value`` words applied (values as in TOML, or bare text).

    Raises:
        RecipeError: no such file, not TOML, an unknown key (with the nearest known one), or a wrong value.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); give the path of a recipe such as recipes/digits.toml") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error
    for word in overrides:
        _override(values, word)
    return check_recipe(values, where=str(path))


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe, every default written out; the file is replaced whole or not at all."""
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(to_toml(recipe), encoding="utf-8")
    os.replace(temporary, path)


def to_toml(recipe: Recipe) -> str:
    """Return the recipe, every default written out, as TOML that `load_recipe` reads."""
    values = recipe.plain()
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for section, keys in values.items():
        if isinstance(keys, dict):
            lines += ["", f"[{section}]", *(f"{_toml_key(key)} = {_toml(value)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def _override(values: dict[str, Any], word: str) -> None:
    key, equals, text = word.partition("=")
    if not equals or not all(key.split(".")):
        raise RecipeError(f"{word!r}: an override is written section.key=value, for example train.lr=0.1")
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = text  # bare text, as a shell passes it
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise RecipeError(f"{word!r}: {section!r} is a value, not a section")
    values[last] = value


def _toml_key(key: str) -> str:
    is_bare = bool(key) and key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if is_bare else _toml(key)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):  # JSON's escapes are a part of TOML's; DEL must be escaped in TOML alone
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key(str(key))} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return repr(value)
