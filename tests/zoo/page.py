"""docs/zoo.md from results/zoo/records.jsonl:

python tests/zoo/page.py
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from families import MODELS

from quantizable.records import read_records

REPOSITORY = Path(__file__).parents[2]
RECORDS, PAGE = REPOSITORY / "results" / "zoo", REPOSITORY / "docs" / "zoo.md"
Row = Mapping[str, Any]

_HEAD = ("family", "model", "pixels", "parameters", "layers", "norms", "multiply-adds", "stays float")
_TEXT = """# The zoo: which public networks work

{summary}

One small model of each family, with random weights, is converted with `example=`, compared with the float network (`fp32` mode: equal
bit for bit), trained for one step in `fp32, w8a8, w4a4, w2a2, w1a1` (finite gradients in every quantized layer and in every norm of
every mode), run in each mode, saved, and loaded again (equal outputs in all modes). This says that a family's wiring is understood;
it says nothing about accuracy.

```
scripts/test --zoo --record
```

Written by that command from [its records](../results/zoo/records.jsonl): torch {torch}, timm {timm}, torchvision {torchvision},
{threads} thread of {cpu}; {seconds:.0f} s of CPU time for all models together, {longest:.0f} s for the longest ({longest_name}).

- *layers*: quantized ones. *norms*: batch norms, each with a set per mode.
- *multiply-adds*: share in quantized layers, of all products in the network, for images of that many pixels a side. The rest is
  products of two activations (attention), and layers that stay float.
- *stays float*: modules with weights. Where no reason stands behind, the class is none that can be quantized: layer norms, scales,
  position embeddings, recurrent layers.

{table}
"""


def main() -> None:
    """Write the page of this repository."""
    write_page(RECORDS, PAGE)


def write_page(records: Path, path: Path) -> None:
    """Replace the page at `path` with that of `records`, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(page(records))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def page(records: Path) -> str:
    """Return the page: the last row of each model in the zoo, in the zoo's order; models without a row are left out."""
    found: dict[tuple[str, str], Row] = {}
    run: Row = {}
    for row in read_records(records):
        if row["kind"] == "zoo":
            run = row
        else:
            found[str(row["source"]), str(row["model"])] = row
    rows = [found[model.source, model.name] for model in MODELS if (model.source, model.name) in found]
    longest = max(rows, key=lambda row: row.get("cpu_seconds", 0.0))
    return _TEXT.format(
        summary=summary(rows),
        torch=run["versions"]["torch"],
        threads=run["threads"],
        cpu=run["machine"]["cpu"],
        **run["zoo_versions"],
        seconds=sum(row.get("cpu_seconds", 0.0) for row in rows),
        longest=longest["cpu_seconds"],
        longest_name=longest["family"],
        table=_markdown([_HEAD, *map(_cells, rows)]),
    )


def summary(rows: Sequence[Row]) -> str:
    """Return the totals in one sentence."""
    works = [row for row in rows if row["ok"]]
    counts = f"{sum(row['layers'] for row in works)} layers quantized, {sum(row['norms'] for row in works)} norms with a set per mode"
    shares = [row["share"] for row in works]
    almost_all = sum(share >= 0.99 for share in shares)
    return (
        f"{len(works)} of {len(rows)} families work: {counts}; at least 99 % of the multiply-adds are quantized in {almost_all} of them, "
        f"{100 * min(shares, default=0):.1f} % in the least."
    )


def text_table(rows: Iterable[Row]) -> str:
    """Return a table for a terminal."""
    cells = [_HEAD[:-1], *(_cells(row)[:-1] if row["ok"] else _cells(row)[:2] for row in rows)]
    widths = [max(len(row[i]) for row in cells if len(row) > i) for i in range(len(cells[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in cells)


def _cells(row: Row) -> tuple[str, ...]:
    name = f"{'torchvision ' if row['source'] == 'torchvision' else ''}{row['model']}"
    if not row["ok"]:
        return (row["family"], name, str(row["size"]), "", "", "", "", f"**does not work**: {row['reason']}")
    figures = (f"{row['parameters'] / 1e6:.2f} M", str(row["layers"]), str(row["norms"]), f"{100 * row['share']:.1f} %")
    return (row["family"], name, str(row["size"]), *figures, ", ".join(_float_layers(row["float_layers"])))


def _float_layers(counts: Mapping[str, int]) -> Iterable[str]:
    for what, count in sorted(counts.items()):
        name, _, reason = what.partition(": ")
        why = "" if reason.endswith("none of the classes that can be quantized") else f" ({reason})"
        yield f"{count} {name}{why}"


def _markdown(rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "| --- | --- |" + " ---: |" * 5 + " --- |", *lines[1:]])


if __name__ == "__main__":
    main()
