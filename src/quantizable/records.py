"""Records: append-only files of JSON lines that say what a command measured, and where and how.

A training run, a study and a benchmark write them; `report` turns them into tables, plots and a page.
What the rows hold: docs/records.md. Figures carry their unit in the key: ``seconds``, ``ms``, ``size_bytes``.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from quantizable.errors import RecordError

RECORDS_FILE = "records.jsonl"
_CODE = ("src", "cpp", "recipes", "studies", "benchmarks", "pyproject.toml", "CMakeLists.txt")  # what can change a figure
_FLAGS = ("avx2", "fma", "avx512bw", "avx512_vnni", "avx512vbmi", "avx512_vpopcntdq", "avx512_bf16", "amx_int8", "asimddp", "i8mm")
_ABSOLUTE = re.compile(r"(?<![\w.~/*-])(?!//)/[^\s,:;'\"]+")  # not the tail of a relative path, not the // of an address


class Records(tuple[dict[str, object], ...]):
    """The rows of a file, in order; `unfinished_bytes` is the length of a last line that its writer did not finish, or 0."""

    unfinished_bytes: int = 0


def records_file(folder_or_file: str | os.PathLike[str]) -> Path:
    """Return the file of records that a path means: itself if it ends in ``.jsonl``, else ``records.jsonl`` in that folder."""
    path = Path(folder_or_file)
    return path if path.suffix == ".jsonl" else path / RECORDS_FILE


def append_record(folder_or_file: str | os.PathLike[str], row: Mapping[str, object]) -> None:
    """Append `row` as one line with sorted keys; on return it is on the disk, after an error or a kill no part of it stays.

    Several processes may append to one file. What a killed writer left unfinished at the end is cut off first.

    Args:
        folder_or_file: see `records_file`; missing folders are made.
        row: str keys; values None, bool, int, float, str, and lists, tuples and mappings of these.

    Raises:
        RecordError: a value is not finite or no JSON (names the key), or the file cannot be written.
    """
    path = records_file(folder_or_file)
    _check(row, "", path)
    line = json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # under the lock no writer is alive inside a line: an open end is a dead one's
            size = _cut_unfinished(descriptor)
            if os.write(descriptor, line) != len(line):
                os.ftruncate(descriptor, size)
                raise RecordError(f"{path}: a row of {len(line)} bytes was not taken whole; free space on the disk")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RecordError(f"{path}: cannot append a row, {error.strerror}; give a folder that can be written") from error


def read_records(folder_or_file: str | os.PathLike[str]) -> Records:
    """Return the rows of a file of records.

    A last line without its end, as a killed writer leaves it, is left out and counted in `Records.unfinished_bytes`.

    Raises:
        RecordError: there is no such file, or a finished line is not a JSON object (names file and line).
    """
    path = records_file(folder_or_file)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: no records, {error.strerror}; give a folder that holds {RECORDS_FILE}") from error
    *lines, tail = content.split(b"\n")
    rows = [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]
    if _is_row(tail):  # whole but for its line end
        rows.append(_parse(tail, f"{path}:{len(lines) + 1}"))
        tail = b""
    records = Records(rows)
    records.unfinished_bytes = len(tail)
    return records


def provenance() -> dict[str, object]:
    """Return what is needed to repeat this process and to judge its figures, ready to stand in a row.

    command: as typed, see `portable`. commit: 12 digits, with `` dirty`` where code differs from it, None outside a checkout.
    versions: python, quantizable, numpy, and torch once it is imported. machine: cpu, cores, flags, gpu where torch sees one.
    threads: those of torch once it is imported, else None. date: UTC, ISO 8601, seconds.
    """
    torch = sys.modules.get("torch")
    return {
        "command": command_line(sys.argv),
        "commit": _commit(Path(__file__).resolve().parent),
        "versions": _versions(None if torch is None else str(torch.__version__)),
        "machine": _machine() | ({"gpu": torch.cuda.get_device_name()} if torch is not None and torch.cuda.is_available() else {}),
        "threads": None if torch is None else torch.get_num_threads(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def command_line(argv: Iterable[str]) -> str:
    """Return the command that `argv` (as in ``sys.argv``) came from, quoted for a shell, without paths of this machine."""
    program, *arguments = argv
    start = ["python", portable(program)] if program.endswith(".py") else [Path(program).name]
    if Path(program).name == "__main__.py":
        start = ["python", "-m", Path(program).parent.name]
    return shlex.join([*start, *map(portable, arguments)])


def portable(text: str) -> str:
    """Return `text` with absolute paths made relative where they lie in the working folder, else cut to their last name."""
    key, equals, value = text.rpartition("=")
    if value.startswith("/") and not value.startswith("//") and not re.search(r"[,:;]", value):
        return key + equals + _portable_path(value)  # the whole value is one path, blanks included
    return _ABSOLUTE.sub(lambda found: _portable_path(found[0]), text)


def _portable_path(text: str) -> str:
    path = Path(os.path.normpath(text))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


def _check(value: object, key: str, path: Path) -> None:
    """Raise unless `value` comes back from JSON as it went in (tuples as lists)."""
    if isinstance(value, float) and not math.isfinite(value):
        raise RecordError(f"{path}: key {key!r} is {float(value)}, a record holds finite figures; leave the key out or find out why")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise RecordError(f"{path}: key {key!r} has a key of type {type(name).__name__}, found {name!r}; write it as str")
            _check(inner, f"{key}.{name}" if key else name, path)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _check(inner, f"{key}[{index}]", path)
    elif value is not None and not isinstance(value, bool | int | float | str):
        raise RecordError(f"{path}: key {key!r} holds a {type(value).__name__}, which JSON has not; write it as float, int or str")


def _cut_unfinished(descriptor: int) -> int:
    """Return the size in bytes after the end of the file was made a line end."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    content = os.pread(descriptor, size, 0)
    tail = content[content.rfind(b"\n") + 1 :]
    if _is_row(tail):
        return size + os.write(descriptor, b"\n")
    os.ftruncate(descriptor, size - len(tail))
    return size - len(tail)


def _is_row(line: bytes) -> bool:
    try:
        _parse(line, "")
    except RecordError:
        return False
    return True


def _parse(line: bytes, where: str) -> dict[str, object]:
    try:
        row = json.loads(line.decode(), parse_constant=_refuse_constant)
    except ValueError as error:
        raise RecordError(f"{where}: not a JSON row, {error}; restore the file from its history") from error
    if not isinstance(row, dict):
        raise RecordError(f"{where}: a row is a JSON object, found {type(row).__name__}; restore the file from its history")
    return row


def _refuse_constant(name: str) -> float:
    raise ValueError(f"found {name}, figures are finite")


def _commit(folder: Path) -> str | None:
    top = _git(folder, "rev-parse", "--show-toplevel")
    if not top or not (Path(top) / "src" / "quantizable").is_dir():
        return None  # installed, or lying inside somebody else's repository: the version says it
    commit = _git(Path(top), "rev-parse", "--short=12", "HEAD")
    return commit and commit + (" dirty" if _git(Path(top), "status", "--porcelain", "--", *_CODE) else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _versions(torch: str | None) -> dict[str, str]:
    versions = {"python": platform.python_version()} | ({} if torch is None else {"torch": torch})
    for package in ("quantizable", "numpy"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # run from a checkout without installing, or without numpy
    return versions


def _machine() -> dict[str, object]:
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        info = ""
    fields: dict[str, str] = dict(re.findall(r"^([\w ]+?)\s*: (.*)$", info.split("\n\n")[0], re.MULTILINE))
    flags = fields.get("flags", fields.get("Features", "")).split()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "cores": cores,
        "flags": [flag for flag in _FLAGS if flag in flags],
    }
