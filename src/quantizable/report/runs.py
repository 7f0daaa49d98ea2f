"""Training runs as their records tell them: epochs, scores in every mode, finished or not. Rows: docs/records.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from quantizable.errors import ModeError, RecordError
from quantizable.modes import parse_mode, parse_modes

TRAINED, POST_TRAINING, FLOAT = "trained", "post-training", "float"
RE_ESTIMATED = "re-estimated"  # trained weights, the statistics of shared norms estimated for each mode
LABELS = (FLOAT, POST_TRAINING, RE_ESTIMATED, TRAINED)  # in the order in which tables show them
Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy of one mode on one split."""

    top1: float  # %
    top5: float | None  # %
    loss: float | None
    n: int | None  # images


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch of a run; `loss` and `validation` by mode name, `validation` empty where the epoch was not scored."""

    epoch: int
    seconds: float
    loss: Mapping[str, float]
    validation: Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Run:
    """One training run.

    start: the row it began with. epochs: each once, in order. planned: the number of epochs it is to have, 0 if unknown.
    scores: label (`LABELS`) -> mode name -> score on `split`. is_finished: nothing was started after its last end.
    """

    recipe: str
    seed: int
    start: Row
    epochs: tuple[Epoch, ...]
    planned: int
    split: str
    scores: Mapping[str, Mapping[str, Score]]
    is_finished: bool

    @property
    def state(self) -> str:
        """``finished`` or ``unfinished, 3 of 11 epochs``."""
        return "finished" if self.is_finished else f"unfinished, {len(self.epochs)} of {self.planned or '?'} epochs"

    @property
    def seconds(self) -> float:
        """Time spent in its epochs, those repeated after a kill counted once."""
        return sum(epoch.seconds for epoch in self.epochs)

    @property
    def last_validation(self) -> Epoch | None:
        """The last epoch that was scored, or None."""
        return next((epoch for epoch in reversed(self.epochs) if epoch.validation), None)

    @property
    def settings(self) -> dict[str, str]:
        """The resolved recipe, flat: ``train.lr`` -> ``0.1``; empty where it was not recorded."""
        return dict(_flat(self.start.get("recipe"), ""))

    def top1(self, label: str) -> dict[str, float]:
        """Return mode name -> top-1 % under a label; scores after training count only once the run is finished."""
        if label == TRAINED and not self.is_finished:
            return {}
        return {mode: score.top1 for mode, score in self.scores.get(label, {}).items()}


def run_from_rows(rows: Sequence[Row], *, where: str, recipe: str = "") -> Run:
    """Return the run that `rows` tell of; of rows written twice (a resume repeats an epoch) the later one holds.

    Args:
        where: the file, for messages.
        recipe: its name within a study; empty: the name in its first row.

    Raises:
        RecordError: no row of kind ``run``, or a row lacks a figure.
    """
    start = next((row for row in rows if row.get("kind") == "run"), None)
    if start is None:
        raise RecordError(f"{where}: no row of kind 'run' in {len(rows)} rows; a run writes it first, docs/records.md")
    epochs = {epoch.epoch: epoch for epoch in (_epoch(row, where) for row in rows if row.get("kind") == "epoch")}
    evaluations = [row for row in rows if row.get("kind") == "evaluation"]
    splits = [str(row.get("split")) for row in evaluations]
    split = "test" if "test" in splits or not splits else splits[-1]
    scores: dict[str, dict[str, Score]] = {}
    for row in evaluations:
        if str(row.get("split")) == split:
            scores.setdefault(str(row.get("label", TRAINED)), {}).update(_scores(_table(row, "modes", where), where))
    steps = [row.get("kind") for row in rows if row.get("kind") in ("run", "resume", "end")]
    return Run(
        recipe=recipe or str(start.get("name", "run")),
        seed=int(_figure(start, "seed", where)),
        start=start,
        epochs=tuple(epochs[number] for number in sorted(epochs)),
        planned=max((int(_figure(row, "epochs", where)) for row in rows if row.get("kind") == "epoch"), default=0),
        split=split,
        scores=scores,
        is_finished=steps[-1] == "end",
    )


def modes_in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return the mode names once each, from the highest (``fp32``) to the lowest."""
    different = set(names)
    return tuple(mode.name for mode in parse_modes(different)) if different else ()


def modes_of(runs: Iterable[Run], part: Literal["scores", "validation", "loss"] = "scores") -> tuple[str, ...]:
    """Return the modes that any run was scored, validated or trained in, from the highest to the lowest."""
    if part == "scores":
        return modes_in_order(mode for run in runs for scores in run.scores.values() for mode in scores)
    return modes_in_order(mode for run in runs for epoch in run.epochs for mode in getattr(epoch, part))


def _epoch(row: Row, where: str) -> Epoch:
    loss, validation = _table(row, "loss", where), row.get("validation") or {}
    if not isinstance(validation, Mapping):
        raise RecordError(f"{where}: 'validation' of an epoch is {validation!r}; write {{mode: {{'top1': ...}}}}")
    return Epoch(
        epoch=int(_figure(row, "epoch", where)),
        seconds=_figure(row, "seconds", where),
        loss={_mode(mode, where): _figure(loss, mode, where) for mode in loss},
        validation=_scores(validation, where),
    )


def _scores(modes: Row, where: str) -> dict[str, Score]:
    scores = {}
    for mode in modes:
        row = _table(modes, mode, where)
        optional = {key: None if row.get(key) is None else _figure(row, key, where) for key in ("top5", "loss", "n")}
        n = optional["n"]
        scores[_mode(mode, where)] = Score(_figure(row, "top1", where), optional["top5"], optional["loss"], None if n is None else int(n))
    return scores


def _mode(name: str, where: str) -> str:
    try:
        return parse_mode(name).name
    except ModeError as error:
        raise RecordError(f"{where}: {error}") from error


def _flat(value: object, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name in sorted(value):
            yield from _flat(value[name], f"{key}.{name}" if key else str(name))
    elif value is not None and key:
        yield key, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _figure(row: Row, key: str, where: str) -> float:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = f" of kind {row['kind']!r}" if "kind" in row else ""
        raise RecordError(f"{where}: a row{kind} has {key!r}: {value!r}, a figure is needed; docs/records.md lists what each row holds")
    return value


def _table(row: Row, key: str, where: str) -> Row:
    value = row.get(key)
    if not isinstance(value, Mapping):
        raise RecordError(f"{where}: a row has {key!r}: {value!r}, a mapping by mode is needed; docs/records.md lists what each row holds")
    return value
