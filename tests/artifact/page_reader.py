"""A reader of .qdnn files written from docs/artifact_format.md alone, with struct, json and numpy.

It checks nothing but hashes: its use is to show that the page says enough.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

TYPES = {"f32": "<f4", "f64": "<f8", "i64": "<i8"}


@dataclass
class Net:
    """header: the JSON. input, nodes: with arrays in place. tables: mode -> node -> fields. codes, floats: layer -> array."""

    header: dict[str, Any]
    input: dict[str, Any]
    nodes: list[dict[str, Any]]
    tables: dict[str, dict[str, dict[str, Any]]]
    codes: dict[str, np.ndarray]
    floats: dict[str, np.ndarray]


def read(data: bytes, bits: int) -> Net:
    """Return what a file, or its first bytes, says for the modes of up to `bits` bits, 32 for all."""
    magic, version, length, digest = struct.unpack("<8sII32s", data[:48])
    assert magic == bytes.fromhex("8951444E4E0D0A1A")
    assert version == 1
    text = data[48 : 48 + length]
    assert hashlib.sha256(text).digest() == digest
    header = json.loads(text)
    sections = {}
    for entry in header["sections"]:
        kind, _, number = entry["name"].partition(" ")
        if (int(number) if number else 32 if kind == "float" else 0) <= bits:
            start = 48 + length + entry["offset"]
            sections[entry["name"]] = data[start : start + entry["length"]]
            assert hashlib.sha256(sections[entry["name"]]).hexdigest() == entry["sha256"]
    constants = Arrays(sections.get("constants", b""))
    given = constants.fill(header["input"])
    nodes = [constants.fill({key: value for key, value in node.items() if key != "tables"}) for node in header["nodes"]]
    return Net(header, given, nodes, tables(header, sections, bits), codes(header, sections), floats(header, sections))


class Arrays:
    """The arrays of one section, one after another."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def fill(self, value: Any) -> Any:
        if isinstance(value, dict) and len(value) == 1 and (kind := next(iter(value))) in TYPES:
            shape = value[kind]
            count = int(np.prod(shape, dtype=int))
            array = np.frombuffer(self.data, TYPES[kind], count, self.at).reshape(shape)
            self.at += (array.nbytes + 7) // 8 * 8
            return array
        if isinstance(value, dict):
            return {key: self.fill(value[key]) for key in value}
        return [self.fill(item) for item in value] if isinstance(value, list) else value


def tables(header: dict[str, Any], sections: dict[str, bytes], bits: int) -> dict[str, dict[str, dict[str, Any]]]:
    found = {}
    for needed in {mode["bits"] for mode in header["modes"] if mode["bits"] <= bits}:
        arrays = Arrays(sections.get(f"tables {needed}", b""))
        for number, mode in enumerate(header["modes"]):
            if mode["bits"] == needed:
                found[mode["name"]] = {
                    node["name"]: arrays.fill(header["layouts"][layout])
                    for node in header["nodes"]
                    for numbers, layout in node.get("tables", ())
                    if number in numbers
                }
    return found


def codes(header: dict[str, Any], sections: dict[str, bytes]) -> dict[str, np.ndarray]:
    found, whole_at, plane_at = {}, 0, 0
    for weight in header["weights"]:
        count = int(np.prod(weight["shape"]))
        if weight["whole"]:
            values = np.frombuffer(sections["whole"], np.uint8, count, whole_at)
            whole_at += count
        else:
            values = np.zeros(count, np.uint8)
            for b in range(1, 9):
                if f"plane {b}" in sections:
                    plane = np.frombuffer(sections[f"plane {b}"], np.uint8, (count + 7) // 8, plane_at)
                    bit = [(int(plane[i // 8]) >> (i % 8)) & 1 for i in range(count)]
                    values = values + np.array(bit, np.uint8) * np.uint8(2 ** (8 - b))
            plane_at += (count + 7) // 8
        found[weight["name"]] = values.reshape(weight["shape"])
    return found


def floats(header: dict[str, Any], sections: dict[str, bytes]) -> dict[str, np.ndarray]:
    if "float" not in sections:
        return {}
    arrays = Arrays(sections["float"])
    return {weight["name"]: arrays.fill({"f32": weight["shape"]}) for weight in header["weights"]}
