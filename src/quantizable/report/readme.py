"""The README of a folder of records, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from quantizable.report.contents import Contents
from quantizable.report.pictures import WIDTH_PX, Picture
from quantizable.report.tables import as_markdown


def readme(contents: Contents, pictures: Sequence[Picture], *, folder: str) -> str:
    """Return the page; `folder` is the one it stands in, as the command that makes it again names it."""
    main, *others = contents.tables
    parts = [f"# {contents.title}", contents.sentence, contents.compared]
    parts += ["\n".join(f"- {note}" for note in contents.notes)] if contents.notes else []
    parts += [_image(picture) for picture in pictures[:1]]
    parts += [as_markdown(main)]
    if contents.commands:
        parts += ["## Again", "```\n" + "\n".join(contents.commands) + "\n```"]
    for table in others:
        parts += [f"## {table.name.capitalize()}", as_markdown(table)]
    if len(pictures) > 1:
        parts += ["## Pictures", *map(_image, pictures[1:])]
    parts += ["## Circumstances", "\n".join(f"- {line}" for line in contents.circumstances or ("not recorded",))]
    parts += [f"[report.html](report.html) is the same as one page. Generated from the records by `quantizable report {folder}`."]
    return "\n\n".join(parts) + "\n"


def _image(picture: Picture) -> str:
    alt = picture.alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return f'<img src="{picture.name}.png" width="{WIDTH_PX}" alt="{alt}">'
