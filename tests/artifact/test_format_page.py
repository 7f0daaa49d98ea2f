"""docs/artifact_format.md says enough to write a reader, and names all that there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from frozen import every_kind, small, tiny
from page_reader import read

from quantizable.artifact import open_artifact, save_artifact
from quantizable.artifact.refusal import ADVICE
from quantizable.graph import NODE_KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "artifact_format.md").read_text()


@pytest.mark.parametrize("bits", [1, 2, 3, 8, 32])
@pytest.mark.parametrize("build", [tiny, small, every_kind])
def test_a_reader_written_from_the_page_reads_the_same(build, bits, tmp_path):
    """Promise: the page is enough; a prefix of the file gives the same to both readers."""
    path = tmp_path / "net.qdnn"
    save_artifact(build(), path)
    artifact = open_artifact(path, max_bits=bits)
    model = artifact.model()
    net = read(path.read_bytes()[: artifact.header.prefix_bytes(bits)], artifact.max_bits)
    assert set(net.tables) == set(model.modes)
    assert (net.header["name"], net.header["output"]) == (model.name, model.output)
    assert_same(model.input, net.input)
    for node, raw in zip(model.nodes, net.nodes, strict=True):
        assert type(node).__name__ == raw.pop("kind")
        assert_same(node, raw)
        for mode in model.modes:
            table = getattr(node, "tables", {}).get(mode)
            assert (table is None) == (node.name not in net.tables[mode])
            if table is not None:
                assert_same(table, net.tables[mode][node.name])
    for weight in model.weights:
        assert np.array_equal(weight.codes, net.codes[weight.name])
    assert {weight.name: weight.values.tobytes() for weight in model.float_weights} == {k: v.tobytes() for k, v in net.floats.items()}


def test_every_reason_has_a_row():
    """Promise: programs find each word that `ArtifactError.reason` can be, and no other."""
    rows = re.findall(r"^\| ((?:`[a-z0-9-]+`(?:, )?)+) \|", PAGE.partition("## Reasons")[2], re.MULTILINE)
    assert {word for row in rows for word in re.findall(r"`([^`]+)`", row)} == set(ADVICE)


def test_every_kind_has_a_row_with_its_fields():
    """Promise: a new operation or field is on the page."""
    rows = re.findall(r"^\| (`[A-Z].*?) \| (.*) \|$", PAGE.partition("## Nodes")[2].partition("| table of |")[0], re.MULTILINE)
    found = {kind: set(re.findall(r"`(\w+)`", text)) for kinds, text in rows for kind in re.findall(r"`(\w+)`", kinds)}
    assert found == {name: {field.name for field in fields(kind)} - {"name"} for name, kind in NODE_KINDS.items()}


def assert_same(record, raw) -> None:
    """Compare a dataclass of ours with the fields that the page's reader found."""
    values = {field.name: getattr(record, field.name) for field in fields(record) if field.name != "tables"}
    assert {name for name, value in values.items() if value is not None and not (isinstance(value, tuple) and not value)} == set(raw)
    for name, found in raw.items():
        assert np.array_equal(np.asarray(values[name]), np.asarray(found)), name
