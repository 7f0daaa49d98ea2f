"""Canonical JSON: one value has one spelling, so that equal models have equal bytes and nothing can be said twice.

UTF-8 without blanks, keys sorted by code point, whole numbers only (RFC 8785 without fractions): see docs/artifact_format.md.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn, TypeAlias

from quantizable.artifact.refusal import refusal, shown

Value: TypeAlias = "str | int | bool | list[Value] | dict[str, Value] | None"

MAX_INTEGER = 2**53 - 1  # what every JSON reader holds exactly
MAX_DEPTH = 16
MAX_CONTAINERS = 2**16  # an empty list takes 3 bytes of text and 56 of memory: this bounds what a small file can ask for

# A string to its end or to the end of the text, else one bracket. Possessive (++, *+): no input makes it go back.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def canonical_json(value: Value) -> bytes:
    """Return the one spelling of `value`: UTF-8, no blanks, sorted keys; `value` must hold no float."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def parse_canonical_json(text: bytes, *, where: str) -> Value:
    """Return the value that `text` spells.

    Raises:
        ArtifactError: not UTF-8, no JSON, a key twice in an object, too deep, a number that is no whole number below 2^53, or
            any spelling but the canonical one.
    """
    _check_nesting(text, where)
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        raise refusal(where, "utf-8", f"the header is not UTF-8 at byte {error.start}") from error

    def whole(digits: str) -> int:
        if len(digits) > 17 or abs(int(digits)) > MAX_INTEGER:
            raise refusal(where, "number", f"the header holds {shown(digits)}, numbers must be below 2^53")
        return int(digits)

    def refuse_number(spelling: str) -> NoReturn:
        raise refusal(where, "number", f"the header holds {shown(spelling)}, numbers must be whole")

    def unique(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            doubled = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise refusal(where, "duplicate-key", f"the header has {shown(doubled)} twice in one object")
        return found

    try:
        value: Value = json.loads(
            decoded, parse_int=whole, parse_float=refuse_number, parse_constant=refuse_number, object_pairs_hook=unique
        )
    except json.JSONDecodeError as error:
        raise refusal(where, "json", f"the header is no JSON at character {error.pos} ({error.msg})") from error
    _check_spelling(value, text, where)
    return value


def _check_nesting(text: bytes, where: str) -> None:
    """Refuse before parsing what would take the parser too deep or make it build too much."""
    depth = containers = 0
    for token in _TOKEN.finditer(text):
        bracket = token[0]
        if bracket in (b"[", b"{"):
            depth, containers = depth + 1, containers + 1
            if depth > MAX_DEPTH:
                raise refusal(where, "depth", f"the header nests deeper than {MAX_DEPTH}")
            if containers > MAX_CONTAINERS:
                raise refusal(where, "depth", f"the header has more than {MAX_CONTAINERS} lists and objects")
        elif bracket in (b"]", b"}"):
            depth -= 1


def _check_spelling(value: Value, text: bytes, where: str) -> None:
    try:
        spelling = canonical_json(value)
    except UnicodeEncodeError as error:  # half of a surrogate pair, written as an escape
        raise refusal(where, "utf-8", f"the header holds {shown(error.object[error.start])}, which is no character") from error
    if spelling != text:
        at = next((i for i, (a, b) in enumerate(zip(spelling, text, strict=False)) if a != b), min(len(spelling), len(text)))
        raise refusal(where, "canonical", f"the header is not in canonical form at byte {at}, found {shown(text[at : at + 12])}")
