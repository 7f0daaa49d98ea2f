"""Carrying out one run of a grid: lock, train (or go on), leave the float weights, take the steps after it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from safetensors.torch import save_file
from torch import nn

from quantizable.errors import QuantizableError
from quantizable.network import ActivationQuantizer, WeightQuantizer
from quantizable.records import append_record, portable, provenance, read_records
from quantizable.study.after import take_step
from quantizable.study.grid import FLOAT_WEIGHTS, PlannedRun
from quantizable.study.lock import locked
from quantizable.study.progress import check_folder, state_of, steps_to_take
from quantizable.training import open_run, train


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run in this session; error: why it failed, or what it waits for.

    kind: "done", "skipped" (it was complete), "elsewhere" (another process works on it), "failed", "blocked" (its start is missing).
    """

    kind: Literal["done", "skipped", "elsewhere", "failed", "blocked"]
    error: str = ""


def carry_out(run: PlannedRun, *, quiet: bool = False) -> Outcome:
    """Bring a run to its end, from wherever an earlier session left it; a failure is recorded with the study and returned."""
    try:
        with locked(run.folder) as is_ours:
            if not is_ours:
                return Outcome("elsewhere")
            kind = state_of(run).kind
            check_folder(run)
            if kind == "done":
                return Outcome("skipped")
            if kind != "trained":
                train(run.recipe, run.folder, quiet=quiet)
            _finish(run)
    except QuantizableError as error:
        return failure(run, str(error))
    return Outcome("done")


def failure(run: PlannedRun, error: str) -> Outcome:
    """Record that a run failed, in the records of the study: its own stay those of a run that can go on."""
    append_record(run.study, {"kind": "failed", "run": run.key, "error": portable(error), **provenance()})
    return Outcome("failed", error)


def last_failure(run: PlannedRun) -> str:
    """Return the error with which a run failed last, as its study's records tell; empty if it never did."""
    rows = read_records(run.study) if (run.study / "records.jsonl").is_file() else ()
    return next((str(row.get("error")) for row in reversed(rows) if row.get("kind") == "failed" and row.get("run") == run.key), "")


def _finish(run: PlannedRun) -> None:
    if run.is_start and not (run.folder / FLOAT_WEIGHTS).is_file():
        _save_float(open_run(run.folder).network, run.folder / FLOAT_WEIGHTS)
    for step in steps_to_take(run):
        take_step(run.folder, step, root=run.recipe.data.root)


def _save_float(network: nn.Module, path: Path) -> None:
    """Write what the network is without quantization, under the names of the network it was converted from."""
    ours = tuple(f"{name}." for name, module in network.named_modules() if isinstance(module, ActivationQuantizer | WeightQuantizer))
    tensors = {
        name: tensor.detach().contiguous()
        for name, tensor in network.state_dict().items()
        if not name.startswith(ours) and "mode_norms" not in name.split(".")
    }
    temporary = path.with_name(f".{path.name}.partial")
    save_file(tensors, temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
