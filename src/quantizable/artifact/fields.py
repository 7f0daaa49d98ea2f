"""Dataclasses as plain values and back, led by the types of their fields: a new operation of `graph` needs nothing here.

| field is | in the header |
| --- | --- |
| str, bool, int, or a tuple of these | itself, a list |
| float, or an array | an array, see arrays.py; a tuple of floats is one f64 array |
| None, or an empty tuple | left out |
| int inside a table | an i64 array of shape [], as all that differs between modes is stored with the mode |
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from quantizable.artifact.arrays import Array, Tree
from quantizable.artifact.refusal import refusal, shown
from quantizable.artifact.sections import TABLES
from quantizable.errors import ArtifactError
from quantizable.graph import AffineTable, InputSpec, Node, QuantizeTable, UnitTable

MAX_NAME_BYTES = 255
Table = QuantizeTable | UnitTable | AffineTable
_Record = TypeVar("_Record")
_TABLE_KINDS: tuple[type, ...] = get_args(Table)


def to_tree(record: Node | Table | InputSpec) -> dict[str, Tree]:
    """Return the fields of `record`, tables apart: arrays for floats, nothing for None and ()."""
    in_table = isinstance(record, _TABLE_KINDS)
    found = {name: _to_tree(getattr(record, name), hint, in_table) for name, hint in _hints(type(record)).items() if name != TABLES}
    return {name: value for name, value in found.items() if value is not None}


def from_tree(kind: type[_Record], tree: Mapping[str, Tree], *, where: str, at: str, **more: object) -> _Record:
    """Return a `kind` made of the fields in `tree` and of `more`.

    Raises:
        ArtifactError: a field is missing, unknown, or of another type; `at` says where.
    """
    hints = {name: hint for name, hint in _hints(kind).items() if name not in more}
    unknown = sorted(tree.keys() - hints.keys())
    if unknown:
        raise refusal(where, "field", f"{at} has a field {shown(unknown[0])}, {kind.__name__} has none of that name")
    in_table = kind in _TABLE_KINDS
    values = dict(more)
    for name, hint in hints.items():
        if name in tree:
            values[name] = _from_tree(tree[name], hint, in_table=in_table, where=where, at=f"{at}, field {name!r}")
        elif types.NoneType in get_args(hint):
            values[name] = None
        elif get_origin(hint) is tuple:
            values[name] = ()
        else:
            raise refusal(where, "field", f"{at} lacks the field {name!r} of {kind.__name__}")
    _check_names(tree, where)
    return kind(**values)


def table_kind(kind: type) -> type[Table] | None:
    """Return the class of a node kind's tables, None where it has none."""
    hint = _hints(kind).get(TABLES)
    return None if hint is None else get_args(hint)[1]


def is_name(text: str) -> bool:
    """Return True for printable text without path separators that does not start with a dot: never a path."""
    fits = text.isprintable() and 0 < len(text.encode(errors="replace")) <= MAX_NAME_BYTES
    return fits and not text.startswith(".") and ".." not in text and not set(text) & set("/\\")


def _hints(kind: Any) -> dict[str, Any]:
    return _resolved_hints(kind)


@cache
def _resolved_hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _to_tree(value: Any, hint: Any, in_table: bool) -> Tree:
    if value is None or isinstance(value, np.ndarray):
        return value
    if hint is float:
        return np.array(value, np.float64)
    if hint is int and in_table:
        return np.array(value, np.int64)
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        if not value:
            return None
        return np.array(value, np.float64) if inner is float else [_to_tree(item, inner, in_table) for item in value]
    return value  # type: ignore[no-any-return]


def _from_tree(value: Tree, hint: Any, *, in_table: bool, where: str, at: str) -> object:
    """Return `value` as the type `hint`, one of those that fields of a model have."""
    options = [option for option in get_args(hint) if option is not types.NoneType]
    if get_origin(hint) is types.UnionType:
        return _from_tree(value, options[0], in_table=in_table, where=where, at=at)
    if get_origin(hint) is np.ndarray:
        return _array(value, get_args(get_args(hint)[1])[0], None, where, at)
    if hint is float:
        return float(_array(value, np.float64, 0, where, at))
    if hint is int and in_table:
        return int(_array(value, np.int64, 0, where, at))
    if get_origin(hint) is tuple:
        if options[0] is float:
            return tuple(map(float, _array(value, np.float64, 1, where, at)))
        if not isinstance(value, list) or not value or (options[-1] is not Ellipsis and len(value) != len(options)):
            raise refusal(where, "type", f"{at}: {shown(value)} is not a list of the right length")
        return tuple(_from_tree(item, options[0], in_table=in_table, where=where, at=at) for item in value)
    if type(value) is not hint:
        raise refusal(where, "type", f"{at}: {shown(value)} is of type {type(value).__name__}, needs {hint.__name__}")
    return value


def _array(value: Tree, scalar: type, n_axes: int | None, where: str, at: str) -> Array:
    """Return `value`, an array of this scalar type and, unless None, this number of axes."""
    if not isinstance(value, np.ndarray) or value.dtype != scalar or n_axes not in (None, value.ndim):
        found = f"{value.dtype} of {value.ndim} axes" if isinstance(value, np.ndarray) else shown(value)
        axes = "" if n_axes is None else f" of {n_axes} axes"
        raise refusal(where, "type", f"{at}: found {found}, needs an array of {np.dtype(scalar)}{axes}")
    return value


def _check_names(tree: Mapping[str, Tree], where: str) -> None:
    for value in tree.values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not is_name(text):
                raise bad_name(text, where)


def bad_name(text: str, where: str) -> ArtifactError:
    """Return the error for a text that is no name."""
    rule = f"a name is printable, 1 to {MAX_NAME_BYTES} bytes, without / \\ .. or a dot in front"
    return refusal(where, "name", f"{shown(text)} is no name; {rule}", advice="rename it and write the file again")
