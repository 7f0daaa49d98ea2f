"""keep_freed_memory: freed tensors come back without page faults."""

from __future__ import annotations

import json
import platform

import pytest

from quantizable.training import memory

PROGRAM = """
import json, resource, runpy, sys
if sys.argv[1] != "usual":
    assert runpy.run_path(sys.argv[1])["keep_freed_memory"]()  # the file alone: the room would load torch
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
counts = []
for _ in range(8):
    before = faults()
    b"x" * 2**26  # 64 MiB, freed at once: 16,384 pages of 4 KiB
    counts.append(faults() - before)
print(json.dumps(counts))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's: nothing is changed there")
def test_a_freed_block_is_used_again_without_page_faults(launch, tmp_path):
    """Promise, and its reason: without it each of these blocks faults anew, with it only the first ones do."""
    usual, kept = (json.loads(launch(["-c", PROGRAM, word], cwd=tmp_path).stdout) for word in ("usual", memory.__file__))
    assert sum(kept[3:]) < 100  # the first ones find their place
    assert sum(usual[3:]) > 100


def test_another_libc_is_left_alone(monkeypatch):
    """Promise: silently absent elsewhere."""
    monkeypatch.setattr(memory, "_is_glibc", lambda: False)
    assert memory.keep_freed_memory() is False
