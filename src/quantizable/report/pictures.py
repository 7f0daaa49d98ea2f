"""Pictures: how every plot is drawn and stored; sizes for 480 px, colours that colour-blind readers tell apart.

A picture is kept as PNG for Markdown pages, and as SVG whose ink follows the page's light or dark style.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PX = 480
# Okabe and Ito's colours, those that stand out on white and on black first.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7f7f7f")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, FAINT, PAPER = "#1b1f24", "#d7dbe0", "#fffffe"  # replaced by the page's own in SVG, so no other part may have them
_DPI = 100  # at which WIDTH_PX holds; PNGs have twice as many pixels
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters everywhere
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn plot. name: file name without ending. alt: what it shows, in words, for those who do not see it."""

    name: str
    alt: str
    png: bytes
    svg: str  # an element to stand in a page


def picture(name: str, alt: str, *, height_px: float, draw: Callable[[Figure], None]) -> Picture:
    """Return the picture that `draw` puts on an empty figure, `WIDTH_PX` wide; same records, same bytes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: Any = {**_STYLE, "svg.hashsalt": name}
    with rc_context(style):
        figure = Figure(figsize=(WIDTH_PX / _DPI, height_px / _DPI), facecolor=PAPER)
        draw(figure)
        png, svg = BytesIO(), StringIO()
        figure.savefig(png, format="png", dpi=2 * _DPI)
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    return Picture(name, alt, png.getvalue(), _for_page(svg.getvalue(), name, alt))


def colour(index: int) -> str:
    """Return the colour of the series with this number; after eight they repeat with other markers."""
    return COLOURS[index % len(COLOURS)]


def marker(index: int) -> str:
    """Return the marker of the series with this number."""
    return MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]


def spread(positions: Sequence[float], gap: float, top: float) -> list[float]:
    """Return positions moved as little as needed for labels to stand at least `gap` apart and at most at `top`; order stays."""
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    placed = list(positions)
    for below, above in pairwise(order):
        placed[above] = max(placed[above], placed[below] + gap)
    limit = top
    for index in reversed(order):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - gap
    return placed


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]], *, height_px: float) -> None:
    """Write (x, y, text, colour) right of axes about `height_px` high: at each line's end, 12 px apart or more, with a leader."""
    low, high = axes.get_ylim()
    gap = (high - low) * 12 / height_px
    heights = spread([end[1] for end in ends], gap, high - gap / 4)
    right = axes.get_xlim()[1]
    for (x, y, text, line_colour), height in zip(ends, heights, strict=True):
        leader = {"arrowstyle": "-", "color": line_colour, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
        axes.annotate(text, (x, y), (right, height), arrowprops=leader, va="center", fontsize=8, annotation_clip=False)


def _for_page(svg: str, name: str, alt: str) -> str:
    """Return the svg element alone, scaling with the page, its ink and grid taken from the page's style."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1), count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for fixed, own in ((INK, "var(--ink)"), (FAINT, "var(--faint)"), (PAPER, "var(--paper)")):
        svg = svg.replace(fixed, own)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", svg)  # several drawings share one page
    label = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()
