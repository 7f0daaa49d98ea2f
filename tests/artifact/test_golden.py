"""Files of every format version there was, made once by golden/make.py: they must load for ever and compute what they did."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from quantizable.artifact import open_artifact, save_artifact
from quantizable.artifact.header import VERSION
from quantizable.graph import FLOAT_MODE, run

FILES = sorted((Path(__file__).parent / "golden").glob("*.qdnn"))


def test_every_version_has_golden_files():
    """The tests below have something to run for each version up to this one."""
    assert {re.match(r"v(\d+)-", path.name)[1] for path in FILES} == {str(version) for version in range(1, VERSION + 1)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_file_computes_what_it_did(path):
    """Promise: files load for ever. Integer modes to the last bit; fp32 sums as the machine's library does."""
    model = open_artifact(path).model()
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as expected:
        assert set(expected) == {"input", *model.modes}
        for mode in model.modes:
            found = run(model, expected["input"], mode)
            if mode == FLOAT_MODE:
                np.testing.assert_allclose(found, expected[mode], rtol=1e-4, atol=1e-5)
            else:
                assert found.tobytes() == expected[mode].tobytes()


@pytest.mark.parametrize("path", [path for path in FILES if path.name.startswith(f"v{VERSION}-")], ids=lambda path: path.stem)
def test_a_golden_file_of_this_version_is_written_again_with_the_same_bytes(path, tmp_path):
    """Promise: same model, same bytes, on any machine and with any later release that writes this version."""
    save_artifact(open_artifact(path).model(), tmp_path / "again.qdnn")
    assert (tmp_path / "again.qdnn").read_bytes() == path.read_bytes()
