"""Studies: a grid of variants x seeds of one recipe, each an ordinary run, resumable after any kill, nothing run twice.

study_file -> grid -> agenda hands out runs -> work carries one out (lock, train, after), in this process, in workers, or on Ray.
A new evaluation after a run is one function and one row in after.py.
"""

from __future__ import annotations

from quantizable.study.agenda import Agenda
from quantizable.study.cost import Cost, cost_table, measure_costs
from quantizable.study.display import Display
from quantizable.study.grid import Grid, PlannedRun, make_grid
from quantizable.study.here import run_here
from quantizable.study.lock import holder, locked
from quantizable.study.on_ray import run_on_ray
from quantizable.study.progress import State, state_of
from quantizable.study.study_file import Study, Variant, load_study
from quantizable.study.work import Outcome, carry_out
from quantizable.study.workers import run_in_workers

__all__ = [
    "Agenda",
    "Cost",
    "Display",
    "Grid",
    "Outcome",
    "PlannedRun",
    "State",
    "Study",
    "Variant",
    "carry_out",
    "cost_table",
    "holder",
    "load_study",
    "locked",
    "make_grid",
    "measure_costs",
    "run_here",
    "run_in_workers",
    "run_on_ray",
    "state_of",
]
