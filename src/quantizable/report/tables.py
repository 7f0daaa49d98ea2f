"""A table of text, and its four forms: Markdown, plain text, HTML, and data for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

NOTHING = "–"  # a cell that has no figure


@dataclass(frozen=True, slots=True)
class Table:
    """A table of finished text.

    name: one word, how pages call for it (``results/digits#cost``). caption: what stands in the cells, with the unit.
    n_text: how many leading columns are words, set to the left; figures stand to the right.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_text: int = 1

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), self


def as_markdown(table: Table) -> str:
    """Return the table as Markdown lines, caption last, without a line end."""
    marks = ["---"] * table.n_text + ["---:"] * (len(table.columns) - table.n_text)
    rows = [[cell.replace("|", "\\|") for cell in row] for row in (table.columns, *table.rows)]
    lines = [f"| {' | '.join(row)} |" for row in (rows[0], marks, *rows[1:])]
    return "\n".join([*lines, "", table.caption])


def as_text(table: Table) -> str:
    """Return the table in aligned columns for a terminal, caption first, without a line end."""
    lines = (table.columns, *table.rows)
    widths = [max(len(row[column]) for row in lines) for column in range(len(table.columns))]
    return "\n".join([table.caption, *(_text_line(row, widths, table.n_text) for row in lines)])


def as_html(table: Table) -> str:
    """Return a ``figure`` with the caption and the table, which scrolls by itself where the page is narrow."""
    head = "".join(f'<th scope="col"{_align(table, column)}>{escape(cell)}</th>' for column, cell in enumerate(table.columns))
    body = "\n".join(f"<tr>{''.join(_html_cell(table, column, cell) for column, cell in enumerate(row))}</tr>" for row in table.rows)
    return (
        f'<figure class="table" id="{escape(table.name)}"><figcaption>{escape(table.caption)}</figcaption>'
        f'<div class="scroll" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div></figure>'
    )


def as_data(table: Table) -> dict[str, object]:
    """Return name, caption, and a list of rows {column: text}, ready for JSON."""
    return {"name": table.name, "caption": table.caption, "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows]}


def _text_line(row: Sequence[str], widths: Sequence[int], n_text: int) -> str:
    words = [cell.ljust(width) for cell, width in zip(row[:n_text], widths[:n_text], strict=True)]
    figures = [cell.rjust(width) for cell, width in zip(row[n_text:], widths[n_text:], strict=True)]
    return "  ".join([*words, *figures]).rstrip()


def _html_cell(table: Table, column: int, cell: str) -> str:
    tag = 'th scope="row"' if column == 0 else "td"
    return f"<{tag}{_align(table, column)}>{escape(cell)}</{tag.split()[0]}>"


def _align(table: Table, column: int) -> str:
    return "" if column < table.n_text else ' class="figure"'
