"""The bytes of an IntegerModel: header and sections. Same model, same bytes."""

from __future__ import annotations

import hashlib

from quantizable.artifact.arrays import pad, take_out
from quantizable.artifact.canonical import Value, canonical_json
from quantizable.artifact.decode import needed_bits
from quantizable.artifact.fields import to_tree
from quantizable.artifact.header import MAX_HEADER_BYTES, PREAMBLE, read_header_text, read_preamble, write_header
from quantizable.artifact.planes import pack_planes
from quantizable.artifact.refusal import refusal
from quantizable.artifact.sections import CONSTANTS, FLOAT, ORDER, SECTION_ALIGNMENT, TABLES, WHOLE
from quantizable.graph import FLOAT_MODE, IntegerModel, Node, check
from quantizable.modes import FLOAT_BITS

Blobs = dict[str, list[bytes]]  # section -> its contents


def encode(model: IntegerModel, *, where: str) -> list[bytes]:
    """Return the file's bytes in parts: preamble and header, then one part a section.

    Raises:
        GraphError: the model does not hold together, see `graph.check`.
        ArtifactError: a name is no name, or the model is larger than the format allows.
    """
    check(model)
    bits = {mode: FLOAT_BITS if mode == FLOAT_MODE else needed_bits(model, mode) for mode in model.modes}
    blobs: Blobs = {CONSTANTS: []}
    content: dict[str, Value] = {
        "input": take_out(dict(to_tree(model.input)), blobs[CONSTANTS]),
        "modes": [{"name": mode, "bits": bits[mode]} for mode in model.modes],
        "name": model.name,
        **_nodes(model, bits, blobs),
        "output": model.output,
        "weights": [
            {"name": weight.name, "shape": list(weight.codes.shape), "whole": weight.always_bits is not None} for weight in model.weights
        ],
    }
    if model.class_names:
        content["class_names"] = list(model.class_names)
    _codes(model, max(bits[mode] for mode in model.integer_modes), blobs)
    _float_weights(model, blobs)
    sections = {name: pad(b"".join(blobs[name]), SECTION_ALIGNMENT) for name in ORDER if any(blobs.get(name, ()))}
    content["sections"] = _described(sections)
    header = write_header(content)
    if len(header) > PREAMBLE.size + MAX_HEADER_BYTES:
        found = f"the network needs a header of {len(header)} bytes, the format ends at {MAX_HEADER_BYTES}"
        raise refusal(where, "write", found, advice="shorten the class names, or cut the network in two")
    length, digest = read_preamble(memoryview(header), where=where)
    read_header_text(memoryview(header)[PREAMBLE.size :], length, digest, where=where)  # what we write, we read
    return [header, *sections.values()]


def _nodes(model: IntegerModel, bits: dict[str, int], blobs: Blobs) -> dict[str, Value]:
    """Return the header's nodes and layouts; arrays go to `blobs`, modes that need the same bits one after another."""
    by_mode: Blobs = {mode: [] for mode in model.modes}
    layouts: dict[bytes, Value] = {}
    nodes = [_node(node, blobs[CONSTANTS], by_mode, layouts) for node in model.nodes]
    for mode in model.modes:
        blobs.setdefault(f"{TABLES} {bits[mode]}", []).extend(by_mode[mode])
    return {"layouts": list(layouts.values()), "nodes": list(nodes)}


def _node(node: Node, constants: list[bytes], by_mode: Blobs, layouts: dict[bytes, Value]) -> Value:
    """Return the header's node; its tables' fields are added to `layouts` where no node before has the same."""
    described = take_out(dict(to_tree(node)), constants)
    assert isinstance(described, dict)
    described["kind"] = type(node).__name__
    groups: dict[int, list[Value]] = {}  # number of a layout -> numbers of modes
    for number, mode in enumerate(by_mode):
        table = getattr(node, TABLES, {}).get(mode)
        if table is not None:
            fields = take_out(dict(to_tree(table)), by_mode[mode])
            spelling = canonical_json(fields)
            layouts.setdefault(spelling, fields)
            groups.setdefault(list(layouts).index(spelling), []).append(number)
    if groups:
        described[TABLES] = [[numbers, layout] for layout, numbers in groups.items()]
    return described


def _codes(model: IntegerModel, n_planes: int, blobs: Blobs) -> None:
    for weight in model.weights:
        if weight.always_bits is not None:
            blobs.setdefault(WHOLE, []).append(weight.codes.tobytes())
            continue
        for number, plane in enumerate(pack_planes(weight.codes)[:n_planes], start=1):
            blobs.setdefault(f"plane {number}", []).append(plane.tobytes())


def _float_weights(model: IntegerModel, blobs: Blobs) -> None:
    values = {weight.name: weight.values for weight in model.float_weights}
    for weight in model.weights if values else ():
        take_out(values[weight.name], blobs.setdefault(FLOAT, []))


def _described(sections: dict[str, bytes]) -> Value:
    found: list[Value] = []
    offset = 0
    for name, data in sections.items():
        found.append({"length": len(data), "name": name, "offset": offset, "sha256": hashlib.sha256(data).hexdigest()})
        offset += len(data)
    return found
