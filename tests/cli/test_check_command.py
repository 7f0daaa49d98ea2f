"""quantizable check: what it shows, and its answer where something is missing."""

from __future__ import annotations

import json
import sys
from importlib import metadata

import pytest

from quantizable.cli import main
from quantizable.cli.check import EXTRAS, KERNEL_PATHS, Findings, Package


@pytest.fixture
def uninstall(monkeypatch):
    """Makes packages look as if they were not installed."""
    version = metadata.version

    def hide(*names):
        def find(name):
            if name in names:
                raise metadata.PackageNotFoundError(name)
            return version(name)

        monkeypatch.setattr(metadata, "version", find)

    return hide


def test_a_complete_installation_can_train(capsys):
    """Promise: exit 0 and nothing missing where all of `train` and `report` is there, as in the tests' own environment."""
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("nothing is missing\n")
    assert metadata.version("torch") in out
    assert all(path in out for path in KERNEL_PATHS)


def test_json_holds_the_same_answer(capsys):
    """Promise: --json is one object for machines."""
    assert main(["check", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["can_train"] is True
    assert facts["missing"] == []
    assert facts["versions"]["numpy"] == metadata.version("numpy")
    assert {package["extra"] for package in facts["packages"]} == {"", *EXTRAS}


def test_what_training_lacks_is_named_with_the_command_that_installs_it(uninstall, capsys):
    """Promise: exit 1, and the exact pip command with the requirement as the package states it, quoted for a shell."""
    uninstall("torch", "safetensors")
    assert main(["check"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"missing: {sys.executable} -m pip install ")
    stated = [text.partition(";")[0].strip() for text in metadata.requires("quantizable") or []]
    for package in ("torch", "safetensors"):
        (requirement,) = [text for text in stated if text.startswith(f"{package}>")]
        assert f"'{requirement}'" in last


def test_a_missing_report_package_is_named_but_training_can_go_on(uninstall, capsys):
    """Promise: 1 is for what training needs; the rest is told."""
    uninstall("matplotlib")
    assert main(["check"]) == 0
    assert "matplotlib" in capsys.readouterr().out.splitlines()[-1]


def test_a_package_without_its_compiled_part_cannot_train(monkeypatch, capsys):
    """Promise: a broken installation is said, not guessed around."""
    monkeypatch.setitem(sys.modules, "quantizable._native", None)
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "does not load" in out
    assert out.splitlines()[-1].startswith("missing: the package itself")


@pytest.mark.parametrize(
    ("features", "allowed"),
    [
        (set(), set()),
        ({"avx512_vnni"}, {"fused training forward"}),
        ({"avx512_bf16"}, {"bf16 training backward"}),
        ({"amx_bf16", "avx512_vnni"}, {"fused training forward", "bf16 training backward"}),
    ],
)
def test_a_kernel_path_is_allowed_by_any_one_of_its_features(features, allowed):
    """Promise: the table KERNEL_PATHS, on CPUs with and without each feature."""
    every = {feature for any_of in KERNEL_PATHS.values() for feature in any_of}
    findings = Findings("a CPU", {feature: feature in features for feature in every}, {"quantizable": "1"}, ())
    assert {path for path, is_there in findings.paths.items() if is_there} == allowed


def test_a_requirement_of_two_extras_is_missing_once():
    """Promise: the pip command names each requirement once; other extras do not count."""
    packages = tuple(Package("pillow", "pillow>=10", extra, None) for extra in ("train", "report", "dev"))
    findings = Findings("a CPU", {}, {"quantizable": "1"}, packages)
    assert findings.missing("train", "report") == ["pillow>=10"]
    assert findings.missing() == []
    assert not findings.can_train


def test_the_features_are_those_the_compiled_part_reports():
    """Every feature that a kernel path asks for is one that the probe knows: a misspelt one would read as 'not allowed'."""
    from quantizable._native import cpu_features

    assert {feature for any_of in KERNEL_PATHS.values() for feature in any_of} <= set(cpu_features())
