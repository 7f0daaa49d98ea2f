"""Bit modes: their names, their order, their exceptions per layer, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given

from quantizable.errors import ModeError
from quantizable.modes import Mode, parse_mode, parse_modes
from strategies import MODE_LISTS, MODE_NAMES


@given(name=MODE_NAMES)
def test_a_name_stands_for_the_mode_that_has_it(name: str) -> None:
    """parse_mode and Mode.name are inverses."""
    assert parse_mode(name).name == name
    assert parse_mode(parse_mode(name)) == parse_mode(name)


@pytest.mark.parametrize(("given_as", "name"), [(4, "w4a4"), (1, "w1a1"), (8, "w8a8"), (32, "fp32"), ("32", "fp32"), ("4", "w4a4")])
def test_an_int_means_both_widths(given_as: int | str, name: str) -> None:
    """Issue: an int means both widths, 32 is fp32."""
    assert parse_mode(given_as).name == name


BAD_MODES = {
    "w9a4": "weight bits must be 1 to 8, found 9",
    "w4a0": "activation bits must be 1 to 8, found 0",
    "w32a32": "weight bits must be 1 to 8, found 32",
    "w4a32": "activation bits must be 1 to 8, found 32",
    "int4": "not a mode",
    "W4A4": "not a mode",
    "w4": "not a mode",
    "": "not a mode",
    "w4a4:": "not a mode",
    "w4a4:a.b": "not a mode",
    0: "weight bits must be 1 to 8, found 0",
    9: "weight bits must be 1 to 8, found 9",
    -1: "weight bits must be 1 to 8, found -1",
    True: "found bool",
    4.0: "found float",
}


@pytest.mark.parametrize("mode", [*BAD_MODES, None], ids=repr)
def test_a_mode_that_is_none_is_refused_with_an_example(mode: object) -> None:
    """Errors: where, what was found, what to write instead."""
    # 1, 1.0 and True are one key of a dict: look the text up by type as well
    expected = "found bool" if mode is True else BAD_MODES.get(mode, "found NoneType")  # type: ignore[call-overload]
    with pytest.raises(ModeError) as caught:
        parse_mode(mode)  # type: ignore[arg-type]
    assert expected in str(caught.value)
    assert "write" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(names=MODE_LISTS)
def test_modes_go_from_the_highest_to_the_lowest(names: list[str]) -> None:
    """By the sum of their bits, then by weight bits; every name is kept, whatever order they came in."""
    modes = parse_modes(names)
    assert sorted(mode.name for mode in modes) == sorted(names)
    assert modes == parse_modes(list(reversed(names)))
    assert modes == parse_modes(",".join(names))
    keys = [(mode.weight_bits + mode.activation_bits, mode.weight_bits) for mode in modes]
    assert keys == sorted(keys, reverse=True)


@pytest.mark.parametrize("empty", [(), [], "", " , ", {}], ids=repr)
def test_an_empty_list_is_refused(empty: object) -> None:
    """Bad input: empty mode lists."""
    with pytest.raises(ModeError, match="the list is empty; name at least one"):
        parse_modes(empty)  # type: ignore[arg-type]


@pytest.mark.parametrize("doubled", [(4, "w4a4"), "fp32,w2a2,32", (Mode(4, 4), 4)], ids=repr)
def test_a_mode_named_twice_is_refused(doubled: object) -> None:
    """4 and w4a4 are one mode."""
    with pytest.raises(ModeError, match=r"stands in the list 2 times; name each mode once"):
        parse_modes(doubled)  # type: ignore[arg-type]


def test_one_mode_alone_is_a_list_of_one() -> None:
    """An int, a name and a Mode can stand for a list."""
    assert parse_modes(4) == parse_modes("w4a4") == parse_modes(Mode(4, 4)) == (Mode(4, 4),)


def test_a_mapping_gives_layers_other_bits_and_the_last_pattern_wins() -> None:
    """A mode may override bits per layer: a mapping mode -> {pattern: bits}."""
    fp32, plain, wide = parse_modes({"w4a4:wide": {"*": 6, "layer2.*": "w8a4"}, "fp32": {}, "w4a4": {}})
    assert [mode.name for mode in (fp32, plain, wide)] == ["fp32", "w4a4", "w4a4:wide"]
    assert wide.bits_of("layer1.0") == (6, 6)
    assert wide.bits_of("layer2.0") == (8, 4)
    assert plain.bits_of("layer2.0") == (4, 4)


BAD_MAPPINGS = {
    "float layer": ({4: {"fc": 32}}, "asks for float; list it in Plan.keep_float"),
    "bits on fp32": ({32: {"fc": 8}}, "has no bits to override"),
    "bits out of range": ({4: {"fc": 9}}, "weight bits must be 1 to 8, found 9"),
    "no mapping inside": ({4: 8}, "a mapping of layer patterns to bits, found int"),
}


@pytest.mark.parametrize("case", BAD_MAPPINGS)
def test_a_wrong_mapping_is_refused(case: str) -> None:
    """Errors of per-layer bits."""
    mapping, message = BAD_MAPPINGS[case]
    with pytest.raises(ModeError, match=message):
        parse_modes(mapping)  # type: ignore[arg-type]


def test_a_mode_checks_itself() -> None:
    """Data checks itself: bits of all overrides, no label or overrides on fp32, a label that can be a key."""
    with pytest.raises(ModeError, match="activation bits"):
        Mode(4, 12)
    with pytest.raises(ModeError, match="weight bits"):
        Mode(4, 4, overrides=(("fc", (0, 4)),))
    with pytest.raises(ModeError, match="fp32"):
        Mode(32, 32, label="a")
    with pytest.raises(ModeError, match="label"):
        Mode(4, 4, label="a.b")
