"""kill -9 at any moment: a run that goes on reaches the same numbers, and no file is left half-written."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from small_networks import environment

from quantizable.records import read_records
from quantizable.training.recipe_file import write_recipe
from quantizable.training.state import STATE_FILE


def command(recipe, folder):
    return [sys.executable, "-m", "quantizable", "train", str(recipe), "--run", str(folder), "--quiet"]


def killed(words, state, seconds):
    """Start the command, wait until it has written a state of its own and then some seconds, kill it; True if it was still running."""
    before = state.stat().st_mtime_ns if state.exists() else None
    process = subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL)
    waits = 0
    while not state.exists() or state.stat().st_mtime_ns == before:
        try:
            return process.wait(timeout=0.01) != 0
        except subprocess.TimeoutExpired:
            waits += 1
            assert waits < 10_000
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    return process.wait() == -9


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_checksum(tmp_path, tiny):
    """Promise: three kills at random moments; a state is written after every step, so that most moments lie in a write."""
    recipe = tmp_path / "recipe.toml"
    keys = {"train__epochs": 6, "train__batch_size": 24, "train__average_decay": 0.9, "train__checkpoint_minutes": 0}
    write_recipe(tiny(data__validation=100, **keys), recipe)
    subprocess.run(command(recipe, tmp_path / "straight"), env=environment(), check=True, stdout=subprocess.DEVNULL)
    rng = random.Random()
    moments = [rng.uniform(0, 1.0) for _ in range(3)]
    were_running = [killed(command(recipe, tmp_path / "killed"), tmp_path / "killed" / STATE_FILE, moment) for moment in moments]
    assert all(were_running), moments
    subprocess.run(command(recipe, tmp_path / "killed"), env=environment(), check=True, stdout=subprocess.DEVNULL)

    straight, resumed = read_records(tmp_path / "straight"), read_records(tmp_path / "killed")
    assert resumed[-1]["kind"] == "end"
    assert resumed[-1]["checksum"] == straight[-1]["checksum"], moments
    assert resumed[-2]["modes"] == straight[-2]["modes"], moments
    assert [row["kind"] for row in resumed].count("resume") == 3
    assert all(row["step"] > 0 for row in resumed if row["kind"] == "resume")
    one, other = (
        {row["epoch"]: (row["loss"], row["validation"]) for row in rows if row["kind"] == "epoch"} for rows in (straight, resumed)
    )
    assert one == other
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["checkpoint", "recipe.toml", "records.jsonl"]
