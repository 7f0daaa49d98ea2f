"""The tables of a claim, made from its records: what stands in which column, and which runs count."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

from quantizable.report.accuracy import Series, scored_images, series_of
from quantizable.report.claim import Claim
from quantizable.report.paired import SIGNIFICANCE, compare
from quantizable.report.runs import LABELS, TRAINED, Run, modes_in_order, modes_of
from quantizable.report.tables import NOTHING, Table
from quantizable.report.timings import written_ms


def tables_of(claim: Claim) -> tuple[Table, ...]:
    """Return the tables of a claim, the main one first; tables without a row are left out."""
    makers: dict[str, tuple[Callable[[Claim], Table], ...]] = {
        "run": (_run_accuracy, _cost),
        "study": (_study_accuracy, _paired, _differences, _seeds, _validation, _cost),
        "benchmark": (_times,),
    }
    first, *others = (make(claim) for make in makers[claim.kind])
    return (first, *(table for table in others if table.rows))


def _run_accuracy(claim: Claim) -> Table:
    """A row a mode: the split that results are reported on, then validation after the last scored epoch."""
    run, last = claim.runs[0], claim.runs[0].last_validation
    labels = [label for label in LABELS if run.top1(label)]
    columns = {label: {mode: f"{top1:.2f}" for mode, top1 in run.top1(label).items()} for label in labels}
    final = run.scores[TRAINED] if TRAINED in labels else {}
    columns["top-5"] = {mode: f"{score.top5:.2f}" for mode, score in final.items() if score.top5 is not None}
    columns["loss"] = {mode: f"{score.loss:.3f}" for mode, score in final.items() if score.loss is not None}
    caption = f"Top-1 accuracy in %, {scored_images(claim)}, seed {run.seed}; {run.state}."
    if columns["top-5"] or columns["loss"]:
        caption += " Top-5 and loss are those of the trained weights."
    if last is not None:
        columns["validation"] = {mode: f"{score.top1:.2f}" for mode, score in last.validation.items()}
        caption += f" Validation: top-1 on held-out training images after epoch {last.epoch} of {run.planned}."
    columns = {heading: cells for heading, cells in columns.items() if cells}
    modes = modes_in_order(mode for cells in columns.values() for mode in cells)
    rows = tuple((mode, *(cells.get(mode, NOTHING) for cells in columns.values())) for mode in modes)
    return Table("accuracy", caption, ("mode", *columns), rows)


def _study_accuracy(claim: Claim) -> Table:
    modes, series = modes_of(claim.runs), series_of(claim)
    rows = tuple((one.recipe, one.label, *_cells(one, modes), _seed_count(claim, one)) for one in series)
    caption = f"Top-1 accuracy in %, {scored_images(claim)}: mean ± standard deviation over the seeds of finished runs."
    return Table("accuracy", caption, ("recipe", "weights", *modes, "seeds"), rows, n_text=2)


def _seeds(claim: Claim) -> Table:
    modes = modes_of(claim.runs)
    rows = []
    for label in reversed(LABELS):
        for run in _in_order(claim):
            top1 = run.top1(label)
            if top1 or label == TRAINED:
                figures = (f"{top1[mode]:.2f}" if mode in top1 else NOTHING for mode in modes)
                rows.append((run.recipe, label, str(run.seed), run.state if label == TRAINED else "", *figures))
    return Table("seeds", "Every run: top-1 accuracy in %.", ("recipe", "weights", "seed", "state", *modes), tuple(rows), n_text=4)


def _validation(claim: Claim) -> Table:
    modes = modes_of(claim.runs, "validation")
    rows = []
    for run in _in_order(claim):
        last = run.last_validation
        if last is not None:
            figures = (f"{last.validation[mode].top1:.2f}" if mode in last.validation else NOTHING for mode in modes)
            rows.append((run.recipe, str(run.seed), f"{last.epoch} of {run.planned}", *figures))
    caption = "How far each run is: top-1 accuracy in % on held-out training images after its last scored epoch."
    return Table("validation", caption, ("recipe", "seed", "epoch", *modes), tuple(rows), n_text=3)


def _paired(claim: Claim) -> Table:
    trained = {one.recipe: one for one in series_of(claim) if one.label == TRAINED}
    baseline = trained[claim.baseline]
    rows = []
    for recipe, one in trained.items():
        for mode in one.top1 if recipe != claim.baseline else ():
            if len(one.top1[mode].keys() & baseline.top1.get(mode, {}).keys()) > 1:
                test = compare(one.top1[mode], baseline.top1[mode])
                figures = (f"{test.difference:+.2f} ± {test.deviation:.2f}", f"{test.t:.2f}", _p(test.p), str(test.n), test.verdict)
                rows.append((recipe, mode, *figures))
    caption = (
        f"Against {claim.baseline}: paired difference in points of top-1 accuracy (mean ± standard deviation over the seeds both have), "
        f"two-sided t-test for each mode by itself; from p = {SIGNIFICANCE} on, no difference is seen."
    )
    return Table("paired", caption, ("recipe", "mode", "difference", "t", "p", "seeds", "verdict"), tuple(rows), n_text=2)


def _differences(claim: Claim) -> Table:
    settings = {run.recipe: {key: text for key, text in run.settings.items() if not _is_seed(key)} for run in claim.runs}
    keys = sorted({key for recipe in settings.values() for key in recipe})
    rows = [(key, *(settings[recipe].get(key, NOTHING) for recipe in claim.recipes)) for key in keys]
    differing = tuple(row for row in rows if len(set(row[1:])) > 1)
    caption = "What differs between the recipes; all else is the same."
    return Table("differences", caption, ("setting", *claim.recipes), differing, n_text=1 + len(claim.recipes))


def _is_seed(key: str) -> bool:
    return key.rpartition(".")[2] in ("seed", "name")


def _cost(claim: Claim) -> Table:
    rows = []
    for recipe in claim.recipes:
        runs = [run for run in claim.runs if run.recipe == recipe and run.epochs]
        if runs:
            epochs = [epoch.seconds for run in runs for epoch in run.epochs]
            done = sum(run.is_finished for run in runs)
            rows.append((recipe, f"{done} of {len(runs)}", str(len(epochs)), f"{fmean(epochs):.1f}", f"{sum(epochs) / 3600:.2f}"))
    caption = "Cost of training: all epochs of all runs, validation included where the run timed it so."
    return Table("cost", caption, ("recipe", "finished", "epochs", "seconds an epoch", "hours in all"), tuple(rows))


def _times(claim: Claim) -> Table:
    first = claim.timings[0].variant
    medians = {(timing.case, timing.variant): timing.median_ms for timing in claim.timings}
    rows = []
    for timing in claim.timings:
        base = medians.get((timing.case, first))
        ratio = NOTHING if base is None else f"{timing.median_ms / base:.2f}"
        spread = f"{written_ms(min(timing.ms))} to {written_ms(max(timing.ms))}"
        sums = timing.checksums
        output = sums[0][:12] if len(sums) == 1 else f"{len(sums)} different" if sums else NOTHING
        rows.append((timing.case, timing.variant, written_ms(timing.median_ms), spread, str(len(timing.ms)), ratio, output))
    caption = "Time in ms: median, smallest to largest, number of repetitions; the checksum is that of the output."
    columns = ("case", "variant", "median", "spread", "n", f"relative to {first}", "checksum")
    start = 0 if any(timing.case for timing in claim.timings) else 1  # no column for a single nameless case
    return Table("times", caption, columns[start:], tuple(row[start:] for row in rows), n_text=2 - start)


def _in_order(claim: Claim) -> list[Run]:
    return sorted(claim.runs, key=lambda run: (claim.recipes.index(run.recipe), run.seed))


def _cells(series: Series, modes: tuple[str, ...]) -> list[str]:
    return [series.written(mode) if mode in series.top1 else NOTHING for mode in modes]


def _seed_count(claim: Claim, series: Series) -> str:
    n_runs = sum(run.recipe == series.recipe for run in claim.runs)
    if series.n_seeds == n_runs:
        return str(n_runs)
    return f"{series.n_seeds} of {n_runs}" + (", unfinished" if series.label == TRAINED else "")


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
