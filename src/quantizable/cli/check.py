"""quantizable check: show CPU features and versions, and what is missing.

Exit code 0 where this machine can train, 1 where something that training needs is missing.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata

EXAMPLE = "quantizable check"
EXTRAS = ("train", "report")
KERNEL_PATHS = {  # path: the CPU features of which it needs one
    "fused training forward": ("avx512_vnni",),
    "bf16 training backward": ("avx512_bf16", "amx_bf16"),
}


@dataclass(frozen=True, slots=True)
class Package:
    """One package that is asked for: `requirement` as pip reads it, the installed version or None."""

    name: str
    requirement: str
    extra: str  # "" for what every use needs
    version: str | None


@dataclass(frozen=True, slots=True)
class Findings:
    """What the machine and the environment offer; `features` is None where the compiled part does not load."""

    cpu: str
    features: dict[str, bool] | None
    versions: dict[str, str | None]
    packages: tuple[Package, ...]

    @property
    def paths(self) -> dict[str, bool]:
        """Kernel path to whether this CPU allows it."""
        has = self.features or {}
        return {path: any(has.get(feature, False) for feature in any_of) for path, any_of in KERNEL_PATHS.items()}

    def missing(self, *extras: str) -> list[str]:
        """Requirements of these extras, and of every use, that are not installed; each once."""
        return list(dict.fromkeys(p.requirement for p in self.packages if p.version is None and p.extra in ("", *extras)))

    @property
    def can_train(self) -> bool:
        """True where the package with its compiled part and all that training imports are installed."""
        return self.features is not None and self.versions["quantizable"] is not None and not self.missing("train")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `quantizable check`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 0 where this machine can train, else 1."""
    findings = look()
    if args.json:
        facts = asdict(findings) | {"paths": findings.paths, "missing": findings.missing(*EXTRAS), "can_train": findings.can_train}
        print(json.dumps(facts, indent=2))
    else:
        print("\n".join(_lines(findings)))
    return 0 if findings.can_train else 1


def look() -> Findings:
    """Return what this machine and environment offer; imports nothing heavy, versions come from the packages' metadata."""
    from quantizable.records import provenance

    machine = provenance()["machine"]
    assert isinstance(machine, dict)
    versions: dict[str, str | None] = {"python": platform.python_version()}
    versions |= {name: _version(name) for name in ("quantizable", "numpy", "torch")}
    return Findings(cpu=f"{machine['cpu']}, {machine['cores']} cores", features=_features(), versions=versions, packages=tuple(_packages()))


def _features() -> dict[str, bool] | None:
    try:
        from quantizable._native import cpu_features
    except ImportError:
        return None
    return cpu_features()


def _packages() -> Iterator[Package]:
    """Yield what the installed package's metadata asks for, so that pyproject.toml is the only list."""
    try:
        requirements = metadata.requires("quantizable") or []
    except metadata.PackageNotFoundError:
        return  # run from its sources: `versions` says so
    for text in requirements:
        requirement, _, marker = (part.strip() for part in text.partition(";"))
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
        name = re.match(r"[\w.-]+", requirement)
        if name and (extra is None or extra[1] in EXTRAS):
            yield Package(name[0], requirement, extra[1] if extra else "", _version(name[0]))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _lines(findings: Findings) -> Iterator[str]:
    yield _row("cpu", findings.cpu)
    if findings.features is None:
        yield _row("features", "unknown: the compiled part of quantizable does not load")
    else:
        has = findings.features
        yield _row("features", " ".join(name for name in has if has[name]) or "none that is asked for")
        yield _row("without", " ".join(name for name in has if not has[name]) or "none that is asked for")
    for path, is_there in findings.paths.items():
        asked = " or ".join(KERNEL_PATHS[path])
        yield _row(path, "allowed" if is_there else f"not allowed, it needs {asked}")
    for name, version in findings.versions.items():
        yield _row(name, version or "not installed")
    others = {package.name: package for package in reversed(findings.packages) if package.name not in findings.versions}
    for package in reversed(others.values()):  # reversed twice: in their order, and the first extra that asks is the one shown
        yield _row(package.name, f"{package.version or 'not installed'}, for {package.extra}")
    yield from _advice(findings)


def _advice(findings: Findings) -> Iterator[str]:
    """Yield what to type, last, where it is seen."""
    if findings.versions["quantizable"] is None or findings.features is None:
        yield "missing: the package itself; in its folder type: " + _pip([".[train,report]"])
    elif missing := findings.missing(*EXTRAS):
        yield "missing: " + _pip(missing)
    else:
        yield "nothing is missing"


def _pip(requirements: list[str]) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", *requirements])


def _row(name: str, text: str) -> str:
    return f"{name:<22}  {text}"
