"""Values of the types that a header must have; every other type is an ArtifactError that names the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from quantizable.artifact.canonical import MAX_INTEGER, Value
from quantizable.artifact.fields import bad_name, is_name
from quantizable.artifact.refusal import refusal, shown
from quantizable.errors import ArtifactError

_T = TypeVar("_T")


class Reader:
    """`where`: file or address, the start of every error; `at`: the place in the header."""

    def __init__(self, where: str) -> None:
        self.where = where

    def mapping(self, value: Value, at: str) -> dict[str, Value]:
        """Return an object."""
        if not isinstance(value, dict):
            raise self._wrong(value, at, "an object")
        return value

    def record(self, value: Value, at: str, required: str, optional: str = "") -> dict[str, Value]:
        """Return an object that has all the required keys and no others than those and the optional ones."""
        found = self.mapping(value, at)
        for key in required.split():
            if key not in found:
                raise refusal(self.where, "field", f"{at} lacks the field {key!r}")
        for key in found:
            if key not in required.split() + optional.split():
                raise refusal(self.where, "field", f"{at} has the field {shown(key)}, which is unknown here")
        return found

    def items(self, value: Value, at: str) -> list[Value]:
        """Return a list."""
        if not isinstance(value, list):
            raise self._wrong(value, at, "a list")
        return value

    def each(self, value: Value, at: str, read: Callable[[Reader, Value, str], _T]) -> tuple[_T, ...]:
        """Return what `read` makes of every item of a list."""
        return tuple(read(self, item, f"{at}[{number}]") for number, item in enumerate(self.items(value, at)))

    def text(self, value: Value, at: str) -> str:
        """Return a text."""
        if not isinstance(value, str):
            raise self._wrong(value, at, "a text")
        return value

    def name(self, value: Value, at: str) -> str:
        """Return a name: see fields.is_name."""
        text = self.text(value, at)
        if not is_name(text):
            raise bad_name(text, self.where)
        return text

    def whole(self, value: Value, at: str) -> int:
        """Return a whole number from 0 up; true and false are none."""
        if type(value) is not int or not 0 <= value <= MAX_INTEGER:
            raise self._wrong(value, at, "a whole number from 0 up")
        return value

    def _wrong(self, value: Value, at: str, needed: str) -> ArtifactError:
        return refusal(self.where, "type", f"{at}: {shown(value)} is not {needed}")
