"""The compiled part: what it says about the CPU, and its committed type stub."""

from __future__ import annotations

import importlib
import platform
from pathlib import Path

import pytest

_native = pytest.importorskip("quantizable._native", reason="the compiled part is not built")
STUB = Path(__file__).parents[1] / "src" / "quantizable" / "_native.pyi"


def test_cpu_features_are_those_of_the_operating_system():
    """The probe asks cpuid itself; Linux lists what it found by the same question."""
    found = _native.cpu_features()
    assert all(isinstance(value, bool) for value in found.values())
    listed = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not listed.exists():
        pytest.skip("no /proc/cpuinfo of an x86 CPU to compare with")
    flags = next(line for line in listed.read_text().splitlines() if line.startswith("flags")).split(":")[1].split()
    renamed = {"avx512_vbmi": "avx512vbmi"}
    on_x86 = {name: value for name, value in found.items() if name != "neon"}
    assert on_x86 == {name: renamed.get(name, name) in flags for name in on_x86}
    assert not found["neon"]


def test_the_committed_stub_is_current():
    """python -m nanobind.stubgen -m quantizable._native -o src/quantizable/_native.pyi writes it."""
    stubgen = pytest.importorskip("nanobind.stubgen", reason="nanobind is not installed")
    generator = stubgen.StubGen(importlib.import_module("quantizable._native"))
    generator.put(_native)
    assert STUB.read_text() == generator.get()
