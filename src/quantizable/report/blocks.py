"""Tables inside other pages: blocks of Markdown that are generated from records and checked against them.

<!-- table: results/digits -->         the main table of that folder; results/digits#cost is another of its tables
...                                    replaced as a whole
<!-- /table -->
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quantizable.errors import RecordError
from quantizable.report.claim import read_claim
from quantizable.report.claim_tables import tables_of
from quantizable.report.tables import as_markdown
from quantizable.report.write import write_whole

_START = re.compile(r"<!-- table: ([^\s#]+)(?:#(\w+))? -->\s*")
_END = "<!-- /table -->"


@dataclass(frozen=True, slots=True)
class _Block:
    start: int  # index of the line with the opening mark
    end: int  # of the closing one
    folder: str
    table: str  # empty: the main one


def fill_tables(markdown_path: str | os.PathLike[str]) -> int:
    """Return the number of blocks after each was replaced by the table of its records; the page is written if any changed.

    Folders are searched from the page's own upwards. Marks inside fenced code stand for themselves.

    Raises:
        RecordError: a block has no end, or names a folder or a table that is not there.
    """
    path, lines = _read(markdown_path)
    blocks = list(_blocks(lines, path))
    filled = list(lines)
    for block in reversed(blocks):
        filled[block.start + 1 : block.end] = _generated(block, path)
    if filled != lines:
        write_whole(path, "\n".join(filled).encode())
    return len(blocks)


def check_tables(markdown_path: str | os.PathLike[str]) -> list[str]:
    """Return a line for each block of the page that disagrees with its records or cannot be made; empty: all agree.

    Raises:
        RecordError: the page is not there, or a block has no end.
    """
    path, lines = _read(markdown_path)
    wrong = []
    for block in _blocks(lines, path):
        try:
            agrees = lines[block.start + 1 : block.end] == _generated(block, path)
        except RecordError as error:
            wrong.append(str(error))
            continue
        if not agrees:
            command = f"quantizable report {block.folder} --fill {path.name}"
            wrong.append(f"{path}:{block.start + 1}: table of {block.folder} disagrees with its records; run `{command}`")
    return wrong


def _read(markdown_path: str | os.PathLike[str]) -> tuple[Path, list[str]]:
    path = Path(markdown_path)
    try:
        return path, path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: not a page that can be read, {error}; give a Markdown file") from error


def _blocks(lines: list[str], path: Path) -> Iterator[_Block]:
    is_code = False
    open_at: tuple[int, str, str] | None = None
    for index, line in enumerate(lines):
        is_code ^= line.lstrip().startswith(("```", "~~~"))
        found = None if is_code else _START.fullmatch(line)
        if found and open_at:
            break
        if found:
            open_at = (index, found[1], found[2] or "")
        elif open_at and line.strip() == _END:
            yield _Block(open_at[0], index, *open_at[1:])
            open_at = None
    if open_at:
        raise RecordError(f"{path}:{open_at[0] + 1}: table of {open_at[1]} has no end; close it with a line {_END}")


def _generated(block: _Block, path: Path) -> list[str]:
    here = path.resolve().parent
    folder = next((top / block.folder for top in (here, *here.parents) if (top / block.folder).is_dir()), None)
    if folder is None:
        raise RecordError(f"{path}:{block.start + 1}: no folder {block.folder} here or above; name one that holds records")
    tables = {table.name: table for table in tables_of(read_claim(folder))}
    table = tables.get(block.table) if block.table else next(iter(tables.values()))
    if table is None:
        raise RecordError(f"{path}:{block.start + 1}: {block.folder} has no table {block.table!r}; name one of {', '.join(tables)}")
    link = Path(os.path.relpath(folder, here)).as_posix()
    return ["", *f"{as_markdown(table)} [Record]({link}/README.md).".split("\n"), ""]
