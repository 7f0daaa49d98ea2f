"""What is written comes back: whole, and as the networks of fewer bits that the first bytes hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from frozen import MODES, Frozen, cut_codes, every_kind, resnet20, small, tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from quantizable.artifact import open_artifact, read_header, save_artifact
from quantizable.errors import ArtifactError, GraphError
from quantizable.graph import FLOAT_MODE, NODE_KINDS, IntegerModel, equal, run
from strategies import BITS

MODE_LISTS = st.lists(st.builds("w{}a{}".format, BITS, BITS), min_size=1, max_size=5, unique=True).map(
    lambda names: tuple(sorted(names, key=lambda name: (-int(name[1]) - int(name[3]), -int(name[1]))))
)


@pytest.mark.parametrize("build", [tiny, small, every_kind])
def test_a_model_comes_back_equal(build, tmp_path):
    """Promise: types, names, dtypes, shapes, every bit; planes that no mode needs are not stored."""
    model = build()
    save_artifact(model, tmp_path / "net.qdnn")
    artifact = open_artifact(tmp_path / "net.qdnn")
    assert artifact.modes == model.modes
    assert equal(artifact.model(), cut_codes(model, artifact.header.n_planes))


def test_every_kind_of_node_was_written():
    """The test above covers the whole table of operations; a new one belongs there too."""
    assert {type(node).__name__ for build in (small, every_kind) for node in build().nodes} == set(NODE_KINDS)


@settings(max_examples=30)
@given(modes=MODE_LISTS, has_float=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_any_list_of_modes_comes_back(modes, has_float, seed, tmp_path_factory):
    """Law, the file: a prefix of b bits serves all modes whose weights need at most b, and they compute the same."""
    model = tiny((FLOAT_MODE, *modes) if has_float else modes, seed)
    path = tmp_path_factory.mktemp("modes") / "net.qdnn"
    save_artifact(model, path)
    assert equal(open_artifact(path).model(), cut_codes(model, max(int(mode[1]) for mode in modes)))
    for bits in range(min(int(mode[1]) for mode in modes), 9):
        artifact = open_artifact(path, max_bits=bits)
        fitting = tuple(mode for mode in modes if int(mode[1]) <= bits)
        assert artifact.modes == fitting
        assert equal(artifact.model(), cut_codes(model, artifact.max_bits).keep(fitting))


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 7, 8])
def test_a_prefix_is_a_whole_network(bits, tmp_path):
    """Law, the file: cut behind plane b, it computes every mode up to b bits as before, by the reference."""
    model, whole, cut = small(), tmp_path / "net.qdnn", tmp_path / "cut.qdnn"
    save_artifact(model, whole)
    content = whole.read_bytes()
    cut.write_bytes(content[: read_header(whole).prefix_bytes(bits)])
    x = np.random.default_rng(0).normal(0, 1, (2, 2, 5, 5)).astype(np.float32)
    found = open_artifact(cut, max_bits=bits)
    assert found.modes == tuple(mode for mode in MODES[1:] if int(mode[1]) <= bits)
    for mode in found.modes:
        assert run(found.model(), x, mode).tobytes() == run(model, x, mode).tobytes()
    with pytest.raises(ArtifactError, match=f"or open it with max_bits={found.max_bits}$"):
        open_artifact(cut)


def test_an_open_file_gives_fewer_modes_when_asked(tmp_path):
    """Promise: `model(max_bits)` is what a shorter prefix gives."""
    save_artifact(small(), tmp_path / "net.qdnn")
    artifact = open_artifact(tmp_path / "net.qdnn")
    assert artifact.max_bits == 32
    assert equal(artifact.model(2), open_artifact(tmp_path / "net.qdnn", max_bits=2).model())
    assert artifact.model(8).float_weights == ()


def test_equal_models_have_equal_bytes(tmp_path):
    """Promise: same model, same bytes; another value of one number, other bytes."""
    for name, model in [("a", small()), ("b", small()), ("c", small(seed=9))]:
        save_artifact(model, tmp_path / name)
    again = open_artifact(tmp_path / "a").model()
    save_artifact(again, tmp_path / "d")
    a, b, c, d = ((tmp_path / name).read_bytes() for name in "abcd")
    assert a == b == d
    assert a != c


def test_all_integer_modes_cost_at_most_a_twentieth(tmp_path):
    """Promise: the file of ResNet-20 in four integer modes is at most 1.05 of its 8-bit codes and tables."""
    model, path = resnet20(), tmp_path / "net.qdnn"
    save_artifact(model, path)
    tables = [table for node in model.nodes for table in getattr(node, "tables", {}).values()]
    values = [getattr(table, name) for table in tables for name in table.__dataclass_fields__]
    table_bytes = sum(value.nbytes if isinstance(value, np.ndarray) else 8 for value in values if value is not None)
    assert path.stat().st_size <= 1.05 * (sum(weight.codes.size for weight in model.weights) + table_bytes)


def test_the_header_tells_what_is_inside(tmp_path):
    """Promise: modes, layers and sizes are known without reading a section."""
    path = tmp_path / "net.qdnn"
    save_artifact(small(), path)
    header = read_header(path)
    assert header.size_bytes == path.stat().st_size
    assert [(mode.name, mode.bits) for mode in header.modes] == [("fp32", 32), ("w8a8", 8), ("w4a4", 4), ("w2a2", 2), ("w1a1", 1)]
    assert [(weight.name, weight.n_codes, weight.whole) for weight in header.weights][:2] == [("stem", 72, True), ("conv", 144, False)]
    assert header.prefix_bytes(1) < header.prefix_bytes(2) < header.prefix_bytes(8) < header.size_bytes
    assert header.class_names == ("cat", "dog, or wolf", "émeu")


def test_arrays_of_a_mapped_file_are_not_writable(tmp_path):
    """Promise: two sessions share the file's pages, so neither may write."""
    save_artifact(small(), tmp_path / "net.qdnn")
    model = open_artifact(tmp_path / "net.qdnn").model()
    for array in (model.weights[0].codes, model.float_weights[0].values, model.nodes[1].tables["w8a8"].multiplier):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_a_model_that_does_not_hold_together_is_not_written(tmp_path):
    """Bad input: nothing unsound gets a file."""
    with pytest.raises(GraphError, match="nowhere"):
        save_artifact(replace(small(), output="nowhere"), tmp_path / "net.qdnn")
    with pytest.raises(ArtifactError, match=r"'\.\./small' is no name"):
        save_artifact(replace(small(), name="../small"), tmp_path / "net.qdnn")
    classes = tuple(f"{number:01000}" for number in range(3000))
    with pytest.raises(ArtifactError, match="the network needs a header of 3") as found:
        save_artifact(wide(classes), tmp_path / "net.qdnn")
    assert found.value.reason == "write"
    assert list(tmp_path.iterdir()) == []


def wide(classes: tuple[str, ...]) -> IntegerModel:
    """A linear layer with one output a class."""
    net = Frozen(0, ("w1a1",), (1,))
    net.unit("fc", net.quantize("q", "input"), (len(classes), 1))
    return net.model("wide", "fc", class_names=classes)
