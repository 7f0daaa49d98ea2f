"""The cost of a study: measured steps times the steps that are left."""

from __future__ import annotations

import pytest

from quantizable.study import Agenda, Cost, State, cost_table, make_grid, measure_costs, run_here


def test_what_is_done_costs_nothing_and_the_same_setting_is_measured_once(write_study):
    """Promise: hours come from measured steps; seeds and weights do not change a step."""
    grid = make_grid(write_study(), ["train.epochs=1"])
    run_here(Agenda(grid.chosen("float/seed0")), say=lambda text: None)
    costs = {cost.run.key: cost for cost in measure_costs(grid.runs)}
    assert (costs["float/seed0"].state.kind, costs["float/seed0"].left_s) == ("done", 0)
    assert costs["shared/seed0"].step_s == costs["shared/seed1"].step_s > 0
    assert costs["shared/seed0"].step_s != costs["hard/seed0"].step_s  # another loss is another step
    assert costs["shared/seed0"].steps == 4  # 1,198 images, 256 a batch, the rest dropped
    assert costs["shared/seed0"].left_s >= 4 * costs["shared/seed0"].step_s
    assert not (grid.folder / "shared").exists()


def test_the_table_adds_up(write_study):
    """Promise: the last line is the sum, divided among the workers."""
    run = make_grid(write_study()).runs[0]
    left = {State("new", 0): 3600.0, State("begun", 1): 1800.0, State("done", 2): 0.0}
    costs = [Cost(run, state, 0.5, 10, left_s) for state, left_s in left.items()]
    text = cost_table(costs, n_workers=2)
    assert text.splitlines()[1].split() == ["float/seed0", "not", "begun", "500.0", "10", "1.00"]
    assert "1 of 2 epochs" in text
    assert "1 of 3 runs done; 1.50 hours left" in text
    assert "0.75 hours with 2 workers" in text


@pytest.mark.parametrize(("kind", "epochs", "words"), [("begun", 3, "3 of 9 epochs"), ("trained", 9, "trained"), ("done", 9, "done")])
def test_a_state_is_told_in_words(kind, epochs, words):
    """Promise: what is done and who works on it can be read."""
    assert State(kind, epochs).told(9) == words
    assert State(kind, epochs, "process 1 on box").told(9) == f"{words}, process 1 on box works on it"
