"""quantizable study: carry out a grid of runs, variants x seeds of one recipe.

A study is a TOML file: a base recipe, seeds, and variants, each a table of what it replaces in the recipe. Every cell is an
ordinary run in results/STUDY/VARIANT/seedK. Given again, the command goes on where it was stopped or killed: complete runs are
skipped, and a run that another process works on is left to it. `quantizable report results/STUDY` makes the tables.

Runs go one after the other with all cores, or with --parallel N at once on one core each, or with --ray on a cluster. A run that
fails is recorded, the others go on, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantizable.study import Agenda, Grid

EXAMPLE = "quantizable study studies/cifar100-ablation.toml --dry-run data.root=cifar100.npz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `quantizable study`."""
    parser.add_argument("study", metavar="STUDY.toml", help="for example studies/cifar100-ablation.toml")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="SECTION.KEY=VALUE",
        help="replaces one key of the base recipe; variants.NAME.SECTION.KEY=VALUE one of that variant",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the grid, what is done, and the hours left, from measured steps")
    parser.add_argument("--only", metavar="PATTERN", help="runs or variants that fit, and the starts they need: 'shared*', '*/seed0'")
    parser.add_argument("--parallel", metavar="N", type=int, default=0, help="N runs at once, one core each (default: one run, all cores)")
    parser.add_argument("--ray", metavar="ADDRESS", help="run on a Ray cluster: auto, host:6379, or local")
    parser.add_argument("--cpus", metavar="N", type=float, default=1.0, help="cores of one run with --ray (default: 1)")
    parser.add_argument("--gpus", metavar="N", type=float, default=0.0, help="GPUs of one run with --ray, may be a fraction (default: 0)")
    parser.add_argument("--results", metavar="FOLDER", default="results", help="folder of all studies (default: results)")


def run(args: argparse.Namespace) -> int:
    """Carry out the grid, or tell its cost; 1 where a run failed."""
    from quantizable.errors import RecipeError
    from quantizable.study import Agenda, cost_table, make_grid, measure_costs
    from quantizable.training import keep_freed_memory

    if args.parallel < 0 or (args.parallel and args.ray):
        raise RecipeError(f"--parallel {args.parallel}: " + ("is 1 or more" if args.parallel < 0 else "goes without --ray; leave one out"))
    if args.cpus <= 0 or args.gpus < 0:
        raise RecipeError(f"--cpus {args.cpus:g} --gpus {args.gpus:g}: a run takes more than 0 cores, and 0 or more GPUs")
    grid = make_grid(args.study, args.overrides, results=args.results)
    runs = grid.chosen(args.only)
    keep_freed_memory()
    if args.dry_run:
        print(cost_table(measure_costs(runs, threads=1 if args.parallel else None), n_workers=args.parallel))
        return 0
    agenda = Agenda(runs)
    grid.write_words()
    try:
        _carry_out(args, grid, agenda)
    finally:
        grid.write_words()
    print(_summary(agenda))
    print(f"records: {grid.folder}; `quantizable report {grid.folder}` makes the tables")
    return 1 if any(outcome.kind in ("failed", "blocked") for outcome in agenda.outcomes.values()) else 0


def _carry_out(args: argparse.Namespace, grid: Grid, agenda: Agenda) -> None:
    from quantizable.study import Display, run_here, run_in_workers, run_on_ray

    if not args.parallel and args.ray is None:
        run_here(agenda)
        return
    display = Display()
    try:
        if args.ray is None:
            run_in_workers(grid, agenda, args.parallel, display)
        else:
            run_on_ray(grid, agenda, args.ray, display, cpus=args.cpus, gpus=args.gpus)
    finally:
        display.close()


def _summary(agenda: Agenda) -> str:
    """Return how many runs ended how; what failed goes to stderr, a line each."""
    told = {"done": "done now", "skipped": "done before", "elsewhere": "left to other processes", "failed": "failed", "blocked": "blocked"}
    kinds: list[str] = []
    for key, outcome in agenda.outcomes.items():
        kinds.append(outcome.kind)
        if outcome.kind in ("failed", "blocked"):
            print(f"{key}: {outcome.kind}, {outcome.error}", file=sys.stderr)
    return f"{len(agenda.runs)} runs: " + ", ".join(f"{kinds.count(kind)} {words}" for kind, words in told.items() if kind in kinds)
