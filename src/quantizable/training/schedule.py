"""Which modes a step trains: all, or a few chosen by rule (sandwich, random)."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from quantizable.errors import PlanError
from quantizable.modes import Mode


@dataclass(frozen=True, slots=True)
class ModeSchedule:
    """Chooses the modes of each step; the choice depends on `seed` and the step alone, so a resumed run repeats it.

    rule: "all"; "sandwich:n" (the highest, the lowest, and n random ones between; Yu et al., arXiv 1903.05134);
        "random:n" (n random modes).
    """

    rule: str = "all"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rule != "all" and not re.fullmatch(r"(sandwich:\d+|random:[1-9]\d*)", self.rule):
            raise PlanError(f"schedule: must be 'all', 'sandwich:n' or 'random:n', found {self.rule!r}")

    def modes(self, step: int, modes: tuple[Mode, ...]) -> tuple[Mode, ...]:
        """Return the modes of step number `step`, from the highest down; `modes` are all of the network's, in that order."""
        if self.rule == "all":
            return modes
        kind, _, count = self.rule.partition(":")
        rng = random.Random(f"{self.seed}:{step}")
        if kind == "random":
            chosen = set(rng.sample(modes, min(int(count), len(modes))))
        else:
            inner = modes[1:-1]
            chosen = {modes[0], modes[-1], *rng.sample(inner, min(int(count), len(inner)))}
        return tuple(mode for mode in modes if mode in chosen)
