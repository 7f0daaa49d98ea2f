"""Plots over time: training curves, the cost of recipes, and the times of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from quantizable.report.accuracy import LONE, lone_recipes
from quantizable.report.claim import Claim
from quantizable.report.pictures import COLOURS, INK, PAPER, Picture, colour, label_ends, marker, picture
from quantizable.report.runs import Run, modes_in_order, modes_of
from quantizable.report.timings import Timing, written_ms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def curves_picture(claim: Claim) -> Picture | None:
    """Return validation top-1 and loss per mode over the epochs; for a study a panel a recipe, a line a seed. None without epochs."""
    panels = _panels(claim)
    modes = modes_in_order([*modes_of(claim.runs, "validation"), *modes_of(claim.runs, "loss")])
    with_loss = len(panels) == 1
    is_scored = any(run.last_validation for _, runs in panels for run in runs)
    n_cells = len(panels) * (is_scored + with_loss)
    if not n_cells:
        return None
    height_px = 190 if n_cells < 3 else 150  # of one cell

    def draw(figure: Figure) -> None:
        kinds = ["validation"] * is_scored + ["loss"] * with_loss
        cells = [(title, runs, kind) for title, runs in panels for kind in kinds]
        grid = figure.subplots(len(cells), 1, squeeze=False, sharex=True)
        for (title, runs, kind), axes in zip(cells, grid[:, 0], strict=True):
            _draw_curves(axes, runs, modes, kind, height_px)
            if len(panels) > 1:
                axes.set_title(title, loc="left", fontsize=9, fontweight="bold")
        grid[-1, 0].set_xlabel("epoch")

    alt = f"Training curves in modes {', '.join(modes)} over the epochs."
    return picture("curves", alt, height_px=height_px * n_cells + 30, draw=draw)


def cost_picture(claim: Claim) -> Picture | None:
    """Return hours of training by recipe, a bar each; None for a single recipe."""
    hours = {recipe: sum(run.seconds for run in claim.runs if run.recipe == recipe) / 3600 for recipe in claim.recipes}
    if len(hours) < 2:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.barh(range(len(hours)), list(hours.values()), color=COLOURS[0], height=0.6)
        for place, figure_hours in enumerate(hours.values()):
            axes.annotate(f"{figure_hours:.2f}", (figure_hours, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
        axes.set_yticks(range(len(hours)), list(hours), fontsize=8)
        axes.set_ylim(len(hours) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False)
        axes.margins(x=0.15)
        axes.set_xlabel("hours of training, all seeds")

    alt = "Hours of training: " + ", ".join(f"{recipe} {spent:.2f}" for recipe, spent in hours.items())
    return picture("cost", alt, height_px=24 * len(hours) + 60, draw=draw)


def times_picture(claim: Claim) -> Picture:
    """Return every repetition as a dot and the median as a bar: a row a variant, under the name of its case."""
    timings = claim.timings
    variants = list(dict.fromkeys(timing.variant for timing in timings))
    rows: list[Timing | str] = []  # a name of a case stands above its variants
    for case in dict.fromkeys(timing.case for timing in timings):
        rows += [case] * bool(case) + [timing for timing in timings if timing.case == case]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, timing in enumerate(rows):
            if isinstance(timing, str):
                box = {"facecolor": PAPER, "edgecolor": "none", "pad": 2}
                axes.annotate(timing, (0.01, place), xycoords=("figure fraction", "data"), va="center", fontsize=8, bbox=box)
                continue
            own = colour(variants.index(timing.variant))
            axes.plot(timing.ms, [place] * len(timing.ms), "o", color=own, alpha=0.35, markersize=4, markeredgewidth=0)
            axes.plot([timing.median_ms], [place], "|", color=INK, markersize=14, markeredgewidth=2)
            axes.annotate(f"{written_ms(timing.median_ms)}", (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
        axes.set_yticks(range(len(rows)), ["" if isinstance(row, str) else row.variant for row in rows], fontsize=8)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_xlim(left=0)
        axes.set_xlabel("ms: every repetition, and the median")

    named = [(", ".join(filter(None, (timing.case, timing.variant))), written_ms(timing.median_ms)) for timing in timings]
    alt = "Median ms: " + ", ".join(f"{name} {ms}" for name, ms in named)
    return picture("times", alt, height_px=26 * len(rows) + 60, draw=draw)


def _panels(claim: Claim) -> list[tuple[str, list[Run]]]:
    """Return (title, runs) for each recipe that has epochs; recipes of a single mode each share one."""
    lone = lone_recipes(claim)
    titles = dict.fromkeys(LONE if recipe in lone else recipe for recipe in claim.recipes)
    panels: dict[str, list[Run]] = {title: [] for title in titles}
    for run in claim.runs:
        panels[LONE if run.recipe in lone else run.recipe] += [run] if run.epochs else []
    return [(title, runs) for title, runs in panels.items() if runs]


def _draw_curves(axes: Axes, runs: Sequence[Run], modes: Sequence[str], kind: str, height_px: float) -> None:
    ends, late = [], []
    for index, mode in enumerate(modes):
        curves = [points for run in runs if (points := _points(run, mode, kind))]
        for points in curves:
            every = 1 + len(points) // 16  # markers apart, so that a long run stays a line
            own = colour(index)
            axes.plot(*zip(*points, strict=True), color=own, marker=marker(index), markersize=3.5, linewidth=1.4, markevery=every)
            late += [y for _, y in points[len(points) // 10 if len(points) >= 20 else 0 :]]
        if curves:
            farthest = max(points[-1][0] for points in curves)
            mean = fmean(points[-1][1] for points in curves if points[-1][0] == farthest)
            text = f" {mode} {mean:.3f}" if kind == "loss" else f" {mode} {mean:.2f}"
            ends.append((farthest, mean, text, colour(index)))
    if late and max(late) > min(late):  # the first tenth of a long run may leave the panel: it would flatten all the rest
        room = 0.06 * (max(late) - min(late))
        axes.set_ylim(min(late) - room, max(late) + room)
    axes.set_ylabel("training loss" if kind == "loss" else "validation top-1 %", fontsize=8)
    axes.margins(x=0.03)
    label_ends(axes, ends, height_px=height_px - 30)


def _points(run: Run, mode: str, kind: str) -> list[tuple[float, float]]:
    if kind == "loss":
        return [(epoch.epoch, epoch.loss[mode]) for epoch in run.epochs if mode in epoch.loss]
    return [(epoch.epoch, epoch.validation[mode].top1) for epoch in run.epochs if mode in epoch.validation]
