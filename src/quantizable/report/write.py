"""Writing a report beside its records: README.md, plots, and one page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from quantizable.errors import RecordError
from quantizable.report.accuracy_plots import accuracy_picture, recipes_picture
from quantizable.report.claim import Claim, read_claim
from quantizable.report.contents import contents_of
from quantizable.report.curve_plots import cost_picture, curves_picture, times_picture
from quantizable.report.page import page
from quantizable.report.pictures import Picture
from quantizable.report.readme import readme
from quantizable.report.tables import Table


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """What was written: the pages, the plots (none where `advice` says what to install), and the tables in them."""

    readme: Path
    page: Path
    pictures: tuple[Path, ...]
    tables: tuple[Table, ...]
    advice: str = ""


def write_report(folder: str | os.PathLike[str]) -> ReportFiles:
    """Return the files written beside the records in `folder`: README.md, report.html, and a PNG for each plot.

    Without matplotlib there are no plots and `advice` says so. Same records, same files. Each file is whole or not there.

    Raises:
        RecordError: `folder` holds no records or broken ones, or cannot be written.
    """
    claim = read_claim(folder)
    contents = contents_of(claim)
    can_draw = find_spec("matplotlib") is not None
    pictures = _draw(claim) if can_draw else ()
    place = _place(claim.folder)
    files = ReportFiles(
        readme=claim.folder / "README.md",
        page=claim.folder / "report.html",
        pictures=tuple(claim.folder / f"{picture.name}.png" for picture in pictures),
        tables=contents.tables,
        advice="" if can_draw else "no plots: matplotlib is not installed; type: pip install 'quantizable[report]'",
    )
    for path, picture in zip(files.pictures, pictures, strict=True):
        write_whole(path, picture.png)
    write_whole(files.readme, readme(contents, pictures, folder=place).encode())
    write_whole(files.page, page(contents, pictures, folder=place).encode())
    return files


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that after a kill at any moment the old one or the new one is there, never a part.

    Raises:
        RecordError: the folder cannot be written.
    """
    sibling = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with sibling.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        sibling.replace(path)
    except OSError as error:
        sibling.unlink(missing_ok=True)
        raise RecordError(f"{path}: cannot be written, {error.strerror}; give a folder that can be") from error


def _place(folder: Path) -> str:
    """Return how the command that makes the report again names the folder: from ``results`` on, wherever it was called from."""
    parts = folder.resolve().parts
    return "/".join(parts[parts.index("results") :] if "results" in parts else parts[-1:])


def _draw(claim: Claim) -> tuple[Picture, ...]:
    if claim.kind == "benchmark":
        return (times_picture(claim),)
    drawn = (make(claim) for make in (accuracy_picture, recipes_picture, curves_picture, cost_picture))
    return tuple(picture for picture in drawn if picture is not None)
