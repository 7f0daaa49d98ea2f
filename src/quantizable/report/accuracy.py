"""Accuracy over seeds: mean and standard deviation of every recipe, label and mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from quantizable.report.claim import Claim
from quantizable.report.runs import LABELS, TRAINED, modes_in_order, modes_of

LONE = "one network a mode"  # the name of `lone_recipes` together


@dataclass(frozen=True, slots=True)
class Series:
    """Top-1 % of one recipe under one label: mode -> seed -> figure, from the highest mode to the lowest."""

    recipe: str
    label: str
    top1: Mapping[str, Mapping[int, float]]

    def mean(self, mode: str) -> float:
        """Mean over the seeds, %."""
        return fmean(self.top1[mode].values())

    def deviation(self, mode: str) -> float | None:
        """Standard deviation of the seeds (n - 1), %; None for a single one."""
        return stdev(self.top1[mode].values()) if len(self.top1[mode]) > 1 else None

    def written(self, mode: str) -> str:
        """``91.40 ± 0.12``, or ``91.40`` for a single seed."""
        deviation = self.deviation(mode)
        return f"{self.mean(mode):.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")

    @property
    def n_seeds(self) -> int:
        """The number of seeds of the mode that has the most."""
        return max(map(len, self.top1.values()), default=0)


def series_of(claim: Claim) -> tuple[Series, ...]:
    """Return a series for each recipe (in the claim's order) and each label it has scores under; trained ones always, if empty."""
    found = []
    for recipe in claim.recipes:
        for label in LABELS:
            top1: dict[str, dict[int, float]] = {}
            for run in claim.runs:
                for mode, figure in run.top1(label).items() if run.recipe == recipe else ():
                    top1.setdefault(mode, {})[run.seed] = figure
            if top1 or label == TRAINED:
                found.append(Series(recipe, label, {mode: top1[mode] for mode in modes_in_order(top1)}))
    return tuple(found)


def lone_recipes(claim: Claim) -> tuple[str, ...]:
    """Return the recipes that train a single mode each, if there are two or more and no two train the same: one line in plots."""
    trained = {recipe: modes_of([run for run in claim.runs if run.recipe == recipe], "loss") for recipe in claim.recipes}
    lone = {recipe: modes[0] for recipe, modes in trained.items() if len(modes) == 1}
    return tuple(lone) if len(lone) > 1 and len(set(lone.values())) == len(lone) else ()


def scored_images(claim: Claim) -> str:
    """Return what was scored: ``test split, 10,000 images``."""
    counts = sorted({score.n for run in claim.runs for scores in run.scores.values() for score in scores.values() if score.n})
    splits = sorted({run.split for run in claim.runs})
    return f"{' and '.join(splits)} split" + (f", {' or '.join(f'{n:,}' for n in counts)} images" if counts else "")
