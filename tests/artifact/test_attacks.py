"""Files that lie: each program in attacks/ builds one from an honest file and says which error it must meet, and in which words."""

from __future__ import annotations

import importlib.util
import os
import time
import tracemalloc
from pathlib import Path
from types import ModuleType

import pytest
from frozen import small, tiny

from quantizable.artifact import open_artifact, save_artifact
from quantizable.artifact.refusal import ADVICE
from quantizable.errors import ArtifactError

ATTACKS = {path.stem: path for path in sorted((Path(__file__).parent / "attacks").glob("*.py"))}
LONGEST_S = 5.0  # a hang, not a slow machine
MEMORY_PER_BYTE, MEMORY_AT_LEAST = 32, 2**21  # parsed JSON is larger than its text, which is at most 2 MiB


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of the small network."""
    path = tmp_path_factory.mktemp("honest") / "net.qdnn"
    save_artifact(small(), path)
    return path.read_bytes()


def load(name: str) -> ModuleType:
    """Return the attack of this name."""
    spec = importlib.util.spec_from_file_location(f"attack_{name}", ATTACKS[name])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_reason_has_an_attack():
    """The test below covers the table of reasons; what is no content of a file is tested beside it, in test_remote and test_replacing."""
    assert len(ATTACKS) >= 100
    assert {load(name).REASON for name in ATTACKS} | {"file", "max-bits", "server", "write"} == set(ADVICE)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_meets_its_error(name, honest, tmp_path):
    """Promise: every way to be broken is an error of its own, in one clear line, within bounded time and memory."""
    attack, path = load(name), tmp_path / "net.qdnn"
    content = attack.build(honest)
    assert content != honest
    path.write_bytes(content)
    tracemalloc.start()
    started = time.perf_counter()
    try:
        with pytest.raises(ArtifactError) as found:
            open_artifact(path).model()
        seconds, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(found.value)
    assert attack.SAYS in message
    assert (found.value.reason, found.value.path) == (attack.REASON, str(path))
    assert message.startswith(f"{path}: ")
    assert "; " in message
    assert message.isprintable()
    assert len(message) < len(str(path)) + 500
    assert seconds < LONGEST_S
    assert peak < MEMORY_PER_BYTE * len(content) + MEMORY_AT_LEAST


def test_a_file_cut_at_any_byte_is_refused(tmp_path):
    """Promise: no cut goes unseen; where a prefix is whole, the error names the bits that it opens with."""
    path, cut = tmp_path / "net.qdnn", tmp_path / "cut.qdnn"
    save_artifact(tiny(), path)
    content = path.read_bytes()
    one_bit = open_artifact(path).header.prefix_bytes(1)
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        with pytest.raises(ArtifactError) as found:
            open_artifact(cut)
        assert found.value.reason == "truncated"
        assert str(found.value).endswith("open it with max_bits=1") == (length >= one_bit)
        if length >= one_bit:
            assert open_artifact(cut, max_bits=1).model().modes == ("w1a1",)


@pytest.mark.parametrize(
    ("max_bits", "says"),
    [(0, "max_bits is 0"), (-1, "max_bits is -1"), (True, "max_bits is True"), (2.0, "max_bits is 2.0"), ("2", "max_bits is '2'")],
)
def test_odd_bits_are_refused(max_bits, says, tmp_path):
    """Bad input: one line that says what was found."""
    save_artifact(tiny(), tmp_path / "net.qdnn")
    with pytest.raises(ArtifactError, match=says) as found:
        open_artifact(tmp_path / "net.qdnn", max_bits=max_bits)
    assert found.value.reason == "max-bits"


def test_bits_that_no_mode_fits_in_are_refused(tmp_path):
    """Bad input: the error names the fewest bits that would do."""
    save_artifact(tiny(("w8a8", "w4a4")), tmp_path / "net.qdnn")
    with pytest.raises(ArtifactError, match="no mode fits in max_bits=3, the lowest one needs 4"):
        open_artifact(tmp_path / "net.qdnn", max_bits=3)


def test_what_is_no_file_is_refused(tmp_path):
    """Bad input: a missing file, a folder, a pipe nobody writes to, and an odd name."""
    os.mkfifo(tmp_path / "pipe")
    for path, says in [
        (tmp_path / "none.qdnn", "cannot be opened, No such file or directory"),
        (tmp_path, "is a folder, pipe or device"),
        (tmp_path / "pipe", "is a folder, pipe or device"),
        ("a\0b", "cannot be opened, embedded null byte"),
    ]:
        with pytest.raises(ArtifactError, match=says) as found:
            open_artifact(path)
        assert found.value.reason == "file"
