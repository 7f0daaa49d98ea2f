"""Random damage: an ArtifactError or an equal network, in bounded time and memory, and nothing else ever."""

from __future__ import annotations

import time
import tracemalloc
import warnings
from copy import deepcopy

import pytest
from forge import edit_sections, spell, take_apart, with_header
from frozen import every_kind, small, tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from quantizable.artifact import open_artifact, save_artifact
from quantizable.artifact.refusal import ADVICE
from quantizable.errors import ArtifactError
from quantizable.graph import check, equal

LONGEST_S = 5.0
MEMORY_PER_BYTE, MEMORY_AT_LEAST = 32, 2**21
BUILDERS = {"tiny": tiny, "small": small, "every_kind": every_kind}
ODD_NUMBERS = [0, 1, -1, 2, 7, 63, 64, 65, 2**31, 2**32, 10**15, 2**53 - 1, True, False, None]
ODD_TEXTS = ["", "input", "fp32", "q", "..", "é", "\x00"]
ODD_LISTS = [[], [0], [[]], {}, {"f32": []}, {"f32": [1]}, {"f64": [2, 3]}, {"i64": []}, {"f32": [2**40]}, {"f32": [-1]}, {"f99": [1]}]
ODD_VALUES = st.sampled_from([*ODD_NUMBERS, *ODD_TEXTS, *ODD_LISTS]).map(deepcopy)  # a copy: later edits may change it


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of three networks."""
    folder = tmp_path_factory.mktemp("honest")
    for name, build in BUILDERS.items():
        save_artifact(build(), folder / name)
    return {name: (folder / name).read_bytes() for name in BUILDERS}


def outcome(content: bytes, path) -> object:
    """Return the network in `content`, or None where it is refused; anything else that happens is a failed test."""
    path.write_bytes(content)
    tracemalloc.start()
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return open_artifact(path).model()
    except ArtifactError as error:
        is_clear = error.reason in ADVICE and str(error).isprintable() and len(str(error)) < len(str(path)) + 500
        return pytest.fail(f"not one clear line: {error!r}") if not is_clear else None
    finally:
        seconds, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seconds < LONGEST_S
        assert peak < MEMORY_PER_BYTE * len(content) + MEMORY_AT_LEAST


@settings(max_examples=150)
@given(data=st.data(), name=st.sampled_from(sorted(BUILDERS)))
def test_damaged_bytes_are_never_read(data, name, honest, tmp_path_factory):
    """Promise: every byte is covered by a hash or a rule, so any change of bytes is refused."""
    content = bytearray(honest[name])
    kind = data.draw(st.sampled_from(["flip", "cut", "splice", "double", "zero"]))
    at = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(1, 200))
    if kind == "flip":
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        del content[at : at + length]
    elif kind == "splice":
        other = honest[data.draw(st.sampled_from(sorted(BUILDERS)))]
        content[at : at + length] = other[at : at + length]
    elif kind == "double":
        content[at:at] = content[at : at + length]
    else:
        content[at : at + length] = bytes(len(content[at : at + length]))
    if content != honest[name]:
        assert outcome(bytes(content), tmp_path_factory.getbasetemp() / "fuzzed.qdnn") is None


@settings(max_examples=250)
@given(data=st.data(), name=st.sampled_from(sorted(BUILDERS)))
def test_a_header_with_an_odd_value_gives_a_sound_network_or_none(data, name, honest, tmp_path_factory):
    """Promise: behind a right hash too, nothing unsound is read: what opens passes the checks of graph again."""
    content, sections = take_apart(honest[name])
    for _ in range(data.draw(st.integers(1, 3))):
        replace_somewhere(content, data)
    forged = with_header(spell(content), b"".join(sections.values()))
    model = outcome(forged, tmp_path_factory.getbasetemp() / "fuzzed.qdnn")
    if model is not None:
        check(model)


@settings(max_examples=150)
@given(data=st.data(), name=st.sampled_from(sorted(BUILDERS)))
def test_sections_with_odd_bytes_give_a_sound_network_or_none(data, name, honest, tmp_path_factory):
    """Promise: the same for tables, constants and codes."""

    def damage(content, sections):
        section = sections[data.draw(st.sampled_from(sorted(sections)))]
        at = data.draw(st.integers(0, len(section) - 1))
        new = data.draw(st.binary(min_size=1, max_size=16) | st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\0\0\xc0\x7f"]))
        section[at : at + len(new)] = new[: len(section) - at]

    forged = edit_sections(honest[name], damage)
    model = outcome(forged, tmp_path_factory.getbasetemp() / "fuzzed.qdnn")
    if model is not None:
        check(model)
        if forged == honest[name]:
            assert equal(model, open_honest(honest[name], tmp_path_factory.getbasetemp() / "honest.qdnn"))


def open_honest(content: bytes, path) -> object:
    path.write_bytes(content)
    return open_artifact(path).model()


def replace_somewhere(content, data) -> None:
    """Walk from the root to a random place and put an odd value there, add one, or take one away."""
    place = content
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.integers(0, 3)):
            place = place[key]
            continue
        action = data.draw(st.sampled_from(["replace", "replace", "replace", "remove", "copy"]))
        if action == "replace":
            place[key] = data.draw(ODD_VALUES)
        elif action == "remove":
            del place[key]
        elif isinstance(place, list):
            place.append(deepcopy(place[key]))
        return
