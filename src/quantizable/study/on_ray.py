"""The same grid as tasks of a Ray cluster, GPUs included. The results folder and the data lie on storage that all machines share."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from quantizable.errors import TrainingError
from quantizable.study.agenda import Agenda
from quantizable.study.display import Display
from quantizable.study.grid import Grid, PlannedRun
from quantizable.study.progress import state_of
from quantizable.study.work import Outcome, carry_out, failure
from quantizable.study.workers import command_of

_POLL_SECONDS, _CONNECT_SECONDS = 2.0, 5.0


def run_on_ray(grid: Grid, agenda: Agenda, address: str, display: Display, *, cpus: float = 1, gpus: float = 0) -> None:
    """Carry out what the agenda hands out as Ray tasks; outcomes are in the agenda.

    Args:
        address: of the cluster ("auto", "host:6379", "ray://host:10001"), or "local" to begin one on this machine.
        cpus, gpus: what one run takes; gpus may be a fraction, 0.25 puts four runs on each GPU.

    Raises:
        TrainingError: ray is not installed, or there is no cluster at the address.
    """
    ray = _connected(address)
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_carry_out_there)
    running: dict[Any, PlannedRun] = {}
    epochs: dict[str, int] = {}
    while agenda.left or running:
        while (run := agenda.take()) is not None:  # Ray queues what does not fit now
            running[task.remote(run, command_of(grid, run), os.getcwd(), cpus)] = run
        waits = None if running else agenda.waits_for()
        if waits is not None:
            display.say(f"waiting for {waits}")
        ready, _ = ray.wait(list(running), timeout=_POLL_SECONDS) if running else ([], [])
        for reference in ready:
            run = running.pop(reference)
            outcome = _outcome(ray, reference, run)
            agenda.settle(run.key, outcome)
            display.end(run.key, outcome)
        n_waiting = _show(running.values(), epochs, display)
        display.left(len(agenda.left) + n_waiting)


def _carry_out_there(run: PlannedRun, words: list[str], folder: str, cpus: float) -> Outcome:
    """Carry out a run in a process of the cluster, from the folder and under the command that its records shall name."""
    import torch

    if not Path(folder).is_dir():
        return Outcome("failed", f"{folder}: not on this machine; use storage that all machines of the cluster share")
    os.chdir(folder)
    sys.argv = ["quantizable", *words]
    torch.set_num_threads(max(1, int(cpus)))
    return carry_out(run, quiet=True)


def _outcome(ray: Any, reference: Any, run: PlannedRun) -> Outcome:
    try:
        outcome: Outcome = ray.get(reference)
    except ray.exceptions.RayError as error:
        return failure(run, f"its Ray task was lost ({str(error).strip().splitlines()[-1]}); give the command again")
    return outcome


def _show(running: Iterable[PlannedRun], epochs: dict[str, int], display: Display) -> int:
    """Show the runs whose records tell of another epoch since the last look; return how many Ray has not begun."""
    n_waiting = 0
    for run in running:
        state = state_of(run)
        if state.holder is None and run.key not in epochs:
            n_waiting += 1
        elif epochs.get(run.key) != state.epochs:
            if run.key not in epochs:
                display.begin(run.key)
            epochs[run.key] = state.epochs
            display.line(run.key, f"epoch {state.epochs} of {run.recipe.train.epochs} done")
    return n_waiting


def _connected(address: str) -> Any:
    """Return the module ray, connected to the cluster."""
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise TrainingError("--ray: ray is not installed; type: pip install 'quantizable[ray]'") from error
    if ray.is_initialized():
        return ray
    _check_reachable(address)
    options = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TrainingError(f"--ray {address}: no cluster there ({reason}); start one with `ray start --head`, or use local") from error
    return ray


def _check_reachable(address: str) -> None:
    """Refuse a host and port where nothing answers: ray would abort the whole process, half a minute later."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return  # "auto" and "local": ray says it itself
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise TrainingError(f"--ray {address}: nothing answers there ({error}); start a cluster with `ray start --head`") from error
