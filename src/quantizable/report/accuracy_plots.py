"""Plots of accuracy: over the modes, and recipe beside recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from quantizable.report.accuracy import LONE, Series, lone_recipes, series_of
from quantizable.report.claim import Claim
from quantizable.report.pictures import INK, PAPER, Picture, colour, marker, picture
from quantizable.report.runs import FLOAT, LABELS, TRAINED, modes_in_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def accuracy_picture(claim: Claim) -> Picture | None:
    """Return top-1 over the modes from fp32 down, a line a recipe and label, bars of one standard deviation; None without scores."""
    series = _merged(_shown(claim), lone_recipes(claim))
    if not series:
        return None
    modes = modes_in_order(mode for one in series for mode in one.top1)
    figures = (f"{_name(one, claim)}: " + ", ".join(f"{mode} {one.written(mode)}" for mode in one.top1) for one in series)
    alt = "Top-1 % over modes. " + "; ".join(figures)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for index, one in enumerate(series):
            _draw_series(axes, one, modes, index=index, n_series=len(series), name=_name(one, claim))
        axes.margins(y=0.15)
        axes.set_ylim(bottom=max(axes.get_ylim()[0], -6))
        if len(series) <= 2:
            _write_values(axes, series, modes)
        axes.set_xticks(range(len(modes)), modes)
        axes.set_xlim(-0.5, len(modes) - 0.5)
        axes.set_ylabel("top-1 %")
        _draw_float(axes, claim)
        if len(axes.get_legend_handles_labels()[0]) > 1:
            figure.legend(loc="outside upper left", ncols=2 if len(series) > 2 else 3, fontsize=8)

    return picture("accuracy", alt, height_px=270 + 16 * (len(series) // 2), draw=draw)


def recipes_picture(claim: Claim) -> Picture | None:
    """Return a panel a mode with a row a recipe, its own scale and the figures written out; None for fewer than three rows."""
    series = [one for one in _shown(claim) if one.label == TRAINED]
    if len(series) < 3:
        return None
    modes = modes_in_order(mode for one in series for mode in one.top1)
    panels = [(mode, [one for one in series if mode in one.top1]) for mode in modes]
    n_rows = sum(len(rows) for _, rows in panels)

    def draw(figure: Figure) -> None:
        heights = [len(rows) + 1.6 for _, rows in panels]
        grid = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
        for (mode, rows), axes in zip(panels, grid[:, 0], strict=True):
            for place, one in enumerate(rows):
                axes.errorbar(one.mean(mode), place, xerr=one.deviation(mode) or 0, fmt="o", color=colour(0), capsize=3)
                axes.annotate(one.written(mode), (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
            axes.set_title(mode, loc="left", fontsize=9, fontweight="bold")
            axes.set_yticks(range(len(rows)), [_name(one, claim) for one in rows], fontsize=8)
            axes.set_ylim(len(rows) - 0.4, -0.6)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")
            axes.margins(x=0.12)
            axes.ticklabel_format(axis="x", useOffset=False)
            axes.locator_params(axis="x", nbins=6)
        grid[-1, 0].set_xlabel("top-1 %, each mode on its own scale")

    alt = f"Top-1 % of {len(series)} recipes in {len(modes)} modes, a panel a mode; the table says the same."
    return picture("recipes", alt, height_px=19 * n_rows + 58 * len(panels) + 20, draw=draw)


def _shown(claim: Claim) -> list[Series]:
    """The series with scores, trained ones first; those of the float weights only where nothing else was scored."""
    series = sorted((one for one in series_of(claim) if one.top1), key=lambda one: -LABELS.index(one.label))
    return [one for one in series if one.label != FLOAT] or series


def _merged(series: Sequence[Series], lone: Sequence[str]) -> list[Series]:
    """Put the trained series of the lone recipes into one."""
    top1 = {mode: one.top1[mode] for one in series if one.recipe in lone and one.label == TRAINED for mode in one.top1}
    if not top1:
        return list(series)
    rest = [one for one in series if one.recipe not in lone or one.label != TRAINED]
    return [Series(LONE, TRAINED, {mode: top1[mode] for mode in modes_in_order(top1)}), *rest]


def _name(series: Series, claim: Claim) -> str:
    if len(claim.recipes) == 1:
        return series.label
    return series.recipe if series.label == TRAINED else f"{series.recipe}, {series.label}"


def _draw_series(axes: Axes, one: Series, modes: Sequence[str], *, index: int, n_series: int, name: str) -> None:
    offset = 0.0 if n_series <= 2 else 0.5 * (index / (n_series - 1) - 0.5)
    places = [modes.index(mode) + offset for mode in one.top1]
    style = "-" if one.label == TRAINED else ":"
    filling = colour(index) if one.label == TRAINED else PAPER
    bars = [one.deviation(mode) or 0.0 for mode in one.top1]
    axes.errorbar(
        places, [one.mean(mode) for mode in one.top1], yerr=bars if any(bars) else None, label=name, linestyle=style,
        marker=marker(index), color=colour(index), markerfacecolor=filling, capsize=3,
    )  # fmt: skip


def _draw_float(axes: Axes, claim: Claim) -> None:
    """Draw the score of the float weights as a level, where they are scored and of one recipe."""
    floats = [one for one in series_of(claim) if one.label == FLOAT and "fp32" in one.top1]
    if len(claim.recipes) == 1 and floats and len(axes.get_legend_handles_labels()[0]) > 0:
        level = floats[0].mean("fp32")
        axes.axhline(level, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1, label=f"float {level:.2f}")


def _write_values(axes: Axes, series: Sequence[Series], modes: Sequence[str]) -> None:
    """Write the figure at each point: the higher of two above its point, the lower below."""
    for place, mode in enumerate(modes):
        here = sorted((one for one in series if mode in one.top1), key=lambda one: -one.mean(mode))
        for rank, one in enumerate(here):
            shift = (-1 if rank else 1) * (7 + _points(axes, one.deviation(mode)))
            text = one.written(mode) if len(modes) <= 5 else f"{one.mean(mode):.2f}"  # no room for more than the mean
            axes.annotate(
                text, (place, one.mean(mode)), (0, shift), textcoords="offset points", ha="center",
                va="top" if rank else "bottom", fontsize=8, color=INK, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip


def _points(axes: Axes, deviation: float | None) -> float:
    """Return about how many points high one standard deviation is drawn."""
    low, high = axes.get_ylim()
    return 0.0 if deviation is None else 160 * deviation / (high - low)
