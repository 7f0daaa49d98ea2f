"""The report as one HTML page that needs nothing beside itself: style inside, pictures inside, no script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

from quantizable.report.contents import Contents
from quantizable.report.pictures import Picture
from quantizable.report.tables import as_html


def page(contents: Contents, pictures: Sequence[Picture], *, folder: str) -> str:
    """Return the page as a whole HTML document; `folder` is what the command that makes it again names."""
    main, *others = contents.tables
    style = (resources.files("quantizable.report") / "page.css").read_text(encoding="utf-8")
    body = [
        f"<h1>{escape(contents.title)}</h1>",
        f'<p class="answer">{escape(contents.sentence).replace(" ± ", "&nbsp;±&nbsp;")}</p>',
        f'<p class="soft">{escape(contents.compared)}</p>',
        *(f'<p class="note">{escape(note)}</p>' for note in contents.notes),
        '<div class="pictures">',
        *(f"<div>{picture.svg}</div>" for picture in pictures),
        "</div>",
        "<h2>Results</h2>",
        as_html(main),
        *(f"<h2>{escape(table.name.capitalize())}</h2>{as_html(table)}" for table in others),
        *_again(contents.commands),
        *_recipes(contents),
        "<h2>Circumstances</h2>",
        _list(contents.circumstances or ("not recorded",)),
        f"<footer>Generated from the records by <code>quantizable report {escape(folder)}</code>.</footer>",
    ]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(contents.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>",
            *body,
            "</main>\n</body>\n</html>\n",
        ]
    )


def _again(commands: Sequence[str]) -> list[str]:
    return ["<h2>Again</h2>", f"<pre>{escape(chr(10).join(commands))}</pre>"] if commands else []


def _recipes(contents: Contents) -> list[str]:
    blocks = []
    for name, settings in contents.recipes.items():
        lines = "\n".join(f"{key} = {value}" for key, value in settings.items())
        blocks.append(f"<details><summary>{escape(name)}</summary><pre>{escape(lines)}</pre></details>")
    return ["<h2>Recipe</h2>" if len(blocks) == 1 else "<h2>Recipes</h2>", *blocks] if blocks else []


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
