"""train: a run from its recipe to its end, in this process, and what stops it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from small_networks import gradients

import quantizable as qz
from quantizable.data import Loader
from quantizable.errors import CheckpointError, DataError, RecipeError, TrainingError
from quantizable.network import checksum
from quantizable.records import read_records
from quantizable.training import load_recipe, loop, open_run, train
from quantizable.training.state import STATE_FILE

MODES = ["fp32", "w4a4", "w1a1"]


class Killed(BaseException):
    """Ends a run in the middle, as a signal would."""


def arrays():
    """The arrays of an .npz with 40 training and 10 test images of two classes."""
    x = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)
    y = np.arange(50) % 2
    return {"x_train": x[:40], "y_train": y[:40], "x_test": x[40:], "y_test": y[40:]}


@pytest.fixture
def stop_after(monkeypatch):
    """`stop_after(n)`: the run ends with Killed when its n-th step is done."""

    def arm(n):
        steps = iter(range(1, n + 1))
        average = loop.World.average_gradients

        def count(world, parameters):
            average(world, parameters)
            if next(steps, None) is None:
                raise Killed

        monkeypatch.setattr(loop.World, "average_gradients", count)
        return lambda: monkeypatch.setattr(loop.World, "average_gradients", average)

    return arm


def test_a_run_writes_its_recipe_its_records_and_its_checkpoint(tmp_path, tiny):
    """Promise: recipe.toml, records.jsonl, checkpoint/ and nothing else; the figures returned are those recorded and loaded."""
    result = train(tiny(train__epochs=2, data__validation=200), tmp_path / "run", quiet=True)
    folder = tmp_path / "run"
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint", "recipe.toml", "records.jsonl"]
    rows = read_records(folder)
    assert [row["kind"] for row in rows] == ["run", "evaluation", "epoch", "epoch", "evaluation", "end"]
    assert [row["epoch"] for row in rows if row["kind"] == "epoch"] == [1, 2]
    assert rows[0]["n_classes"] == 10
    assert rows[2]["validation"]["w1a1"]["n"] == 200
    assert list(result.accuracy) == MODES
    assert rows[4]["modes"]["w1a1"]["top1"] == result.accuracy["w1a1"].top1
    saved = open_run(folder)
    assert checksum(saved.network) == rows[5]["checksum"] == checksum(result.network)
    assert load_recipe(folder / "recipe.toml") == saved.recipe


def test_training_learns(tmp_path, tiny):
    """Promise: the loss of every mode falls, and every mode is better than at the start."""
    options = {"width": 0.5}
    result = train(tiny(train__epochs=5, train__batch_size=32, train__lr=0.01, model__options=options), tmp_path, quiet=True)
    rows = [row for row in read_records(tmp_path) if row["kind"] == "epoch"]
    assert all(rows[-1]["loss"][mode] < 0.7 * rows[0]["loss"][mode] for mode in MODES)
    assert all(accuracy.top1 > 60 for accuracy in result.accuracy.values())


def test_the_same_recipe_gives_the_same_numbers(tmp_path, tiny):
    """Promise: a run is a function of its recipe; another seed is another run."""
    sums = [checksum(train(tiny(), tmp_path / name, quiet=True).network) for name in "ab"]
    assert sums[0] == sums[1]
    other = tiny().model_copy(update={"seed": 1})
    assert checksum(train(other, tmp_path / "c", quiet=True).network) != sums[0]


@pytest.mark.parametrize(
    ("steps", "keys"),
    [(3, {}), (4, {}), (5, {"train__average_decay": 0.9}), (3, {"train__optimizer": "sgd", "train__modes": "sandwich:0"})],
)
def test_a_stopped_run_goes_on_to_the_same_numbers(tmp_path, tiny, stop_after, keys, steps):
    """Promise: stopped inside an epoch, at its end, and after it; with an average, with a schedule of modes."""
    recipe = tiny(train__epochs=2, train__checkpoint_minutes=0, **keys)  # 4 steps an epoch
    straight = train(recipe, tmp_path / "straight", quiet=True)
    disarm = stop_after(steps)
    with pytest.raises(Killed):
        train(recipe, tmp_path / "stopped", quiet=True)
    disarm()
    assert (tmp_path / "stopped" / STATE_FILE).is_file()
    resumed = train(recipe, tmp_path / "stopped", quiet=True)
    assert checksum(resumed.network) == checksum(straight.network)
    assert resumed.accuracy == straight.accuracy
    rows = [row for row in read_records(tmp_path / "stopped") if row["kind"] == "epoch"]
    wanted = [row for row in read_records(tmp_path / "straight") if row["kind"] == "epoch"]
    assert {row["epoch"]: row["loss"] for row in rows} == {row["epoch"]: row["loss"] for row in wanted}
    (resume,) = [row for row in read_records(tmp_path / "stopped") if row["kind"] == "resume"]
    assert resume["step"] == steps


def test_no_epochs_is_plain_post_training_quantization(tmp_path, tiny):
    """epochs = 0: calibrated, evaluated, saved."""
    result = train(tiny(train__epochs=0), tmp_path, quiet=True)
    start, end = (row["modes"] for row in read_records(tmp_path) if row["kind"] == "evaluation")
    assert start == end
    assert list(result.accuracy) == MODES


def test_norms_that_modes_share_train_and_evaluate(tmp_path, tiny):
    """quantize.norms "shared": one set of statistics, kept as training left it."""
    keys = {"quantize__norms": "shared", "quantize__modes": ["fp32", "w8a8", "w4a4"], "model__options": {"width": 0.5}}
    result = train(tiny(train__epochs=4, train__batch_size=32, train__lr=0.01, **keys), tmp_path, quiet=True)
    assert not any("mode_norms" in name for name in result.network.state_dict())
    assert all(accuracy.top1 > 60 for accuracy in result.accuracy.values())


def test_curves_are_written_for_tensorboard(tmp_path, tiny):
    """train.tensorboard: losses and validation scores by mode."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tiny(train__tensorboard=True, train__epochs=2, data__validation=200), tmp_path, quiet=True)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert sorted(events.Tags()["scalars"]) == sorted(f"{what}/{mode}" for what in ("loss", "top1") for mode in MODES)
    assert [event.step for event in events.Scalars("loss/w1a1")] == [1, 2]


def test_progress_is_shown_unless_quiet(tmp_path, tiny, capsys):
    """Promise: on stderr, none on stdout."""
    train(tiny(), tmp_path / "a")
    out, err = capsys.readouterr()
    assert out == ""
    assert "before training: test top-1 fp32 " in err
    assert "epoch 1/1 step 4/4" in err
    train(tiny(), tmp_path / "b", quiet=True)
    assert capsys.readouterr() == ("", "")


def test_a_loss_that_is_not_finite_stops_with_mode_and_step(tmp_path, tiny, stop_after):
    """Promise: one line; the state from before is whole and loads."""
    recipe = tiny(train__epochs=3, train__checkpoint_minutes=0)
    disarm = stop_after(2)
    with pytest.raises(Killed):
        train(recipe, tmp_path, quiet=True)
    disarm()
    before = (tmp_path / STATE_FILE).read_bytes()

    multi = loop.multi_mode_backward
    loop.multi_mode_backward = lambda network, images, *rest, **keys: multi(network, images * math.nan, *rest, **keys)
    try:
        with pytest.raises(TrainingError, match=r"loss of mode fp32 is nan at step 2; lower train.lr"):
            train(recipe, tmp_path, quiet=True)
    finally:
        loop.multi_mode_backward = multi
    assert (tmp_path / STATE_FILE).read_bytes() == before
    assert train(recipe, tmp_path, quiet=True).accuracy  # goes on from it


def test_a_rate_far_too_high_stops_with_a_clear_line(tmp_path, tiny):
    """Promise: lr = 1e30 ends in one error, and no state on disk holds a weight that is not finite."""
    with pytest.raises(TrainingError, match=r"train: (loss of mode \w+ is|a weight is not finite)"):
        train(tiny(train__lr=1e30, train__optimizer="sgd", train__epochs=5, train__checkpoint_minutes=0), tmp_path, quiet=True)
    if (tmp_path / STATE_FILE).is_file():
        from safetensors.numpy import load_file

        state = load_file(tmp_path / STATE_FILE)
        assert all(np.isfinite(value).all() for name, value in state.items() if name.endswith("weight"))
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("at", [0, 5, 6])
def test_a_loader_that_raises_is_one_line_with_its_place(tmp_path, tiny, monkeypatch, at):
    """Promise: where it was, what it said, what to do; in the first batch, in calibration, in the third batch of training."""
    read = iter(range(1000))
    run = Loader._run

    def fails(loader, *where):
        for batch in run(loader, *where):
            if next(read) == at:
                raise OSError("cable")
            yield batch

    monkeypatch.setattr(Loader, "_run", fails)
    place = {0: "first batch 1", 5: "epoch 1 batch 3", 6: "epoch 1 batch 4"}[at]
    with pytest.raises(TrainingError, match=f"loader: failed at {place}: OSError: cable"):
        train(tiny(train__evaluate_every=0), tmp_path, quiet=True)


def test_data_that_does_not_fit_is_told_before_the_first_step(tmp_path, tiny):
    """Promise: labels out of range, a missing file, a batch no set fills, a model that does not exist."""
    np.savez(tmp_path / "bad.npz", **arrays() | {"y_train": np.full(40, -1)})
    wrong = [
        (DataError, "label", {"data__name": "npz", "data__root": str(tmp_path / "bad.npz")}),
        (DataError, "none.npz", {"data__name": "npz", "data__root": str(tmp_path / "none.npz")}),
        (DataError, "lower batch_size", {"train__batch_size": 5000}),
        (DataError, "'digit'; the nearest is 'digits'", {"data__name": "digit"}),
        (RecipeError, "'digits_nett'", {"model__name": "digits_nett"}),
        (CheckpointError, "none.pth", {"model__weights": str(tmp_path / "none.pth")}),
    ]
    for error, words, keys in wrong:
        with pytest.raises(error, match=words):
            train(tiny(**keys), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "records.jsonl").exists()


def test_a_folder_holds_one_run(tmp_path, tiny):
    """Promise: another recipe is refused with the key that differs; so is a run that is complete."""
    train(tiny(), tmp_path / "run", quiet=True)
    before = (tmp_path / "run" / "records.jsonl").read_bytes()
    with pytest.raises(TrainingError, match=r"another recipe, train.lr = 0.003 there, 0.1 here"):
        train(tiny(train__lr=0.1), tmp_path / "run", quiet=True)
    with pytest.raises(TrainingError, match="this run is complete"):
        train(tiny(), tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "records.jsonl").read_bytes() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be made a folder"):
        train(tiny(), tmp_path / "file", quiet=True)


def test_what_no_figure_depends_on_may_change_when_a_run_goes_on(tmp_path, tiny, stop_after):
    """Promise: data may have moved, checkpoints may become rarer."""
    np.savez(tmp_path / "a.npz", **arrays())
    recipe = tiny(data__name="npz", data__root=str(tmp_path / "a.npz"), train__batch_size=16, train__checkpoint_minutes=0)
    disarm = stop_after(1)
    with pytest.raises(Killed):
        train(recipe, tmp_path / "run", quiet=True)
    disarm()
    (tmp_path / "a.npz").rename(tmp_path / "b.npz")
    moved = tiny(data__name="npz", data__root=str(tmp_path / "b.npz"), train__batch_size=16, train__checkpoint_minutes=9)
    assert train(moved, tmp_path / "run", quiet=True).accuracy


def test_records_hold_no_path_of_this_machine(tmp_path, tiny):
    """docs/records.md: rows may be published; recipe.toml beside them keeps the path, so that the run can be evaluated."""
    np.savez(tmp_path / "a.npz", **arrays())
    train(tiny(data__name="npz", data__root=str(tmp_path / "a.npz"), train__batch_size=16), tmp_path / "run", quiet=True)
    assert str(tmp_path) not in json.dumps(read_records(tmp_path / "run"))
    assert load_recipe(tmp_path / "run" / "recipe.toml").data.root == str(tmp_path / "a.npz")


def test_the_resolved_recipe_holds_the_moments_of_its_images(tmp_path, tiny):
    """So that other images, given later, are normalised as those of training were."""
    train(tiny(train__epochs=0), tmp_path / "run", quiet=True)
    data = load_recipe(tmp_path / "run" / "recipe.toml").data
    assert data.mean is not None
    assert 0.2 < data.mean[0] < 0.4


def test_a_truncated_state_stops_the_run(tmp_path, tiny, stop_after):
    """Promise: nothing is guessed; the line names the file and what to do."""
    recipe = tiny(train__checkpoint_minutes=0)
    disarm = stop_after(2)
    with pytest.raises(Killed):
        train(recipe, tmp_path, quiet=True)
    disarm()
    state = tmp_path / STATE_FILE
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="remove it to start the run again"):
        train(recipe, tmp_path, quiet=True)
    state.unlink()
    assert train(recipe, tmp_path, quiet=True).accuracy


def test_one_step_of_the_loop_is_multi_mode_backward(tmp_path, tiny, monkeypatch):
    """The loop adds nothing to the gradients of the public call: same network, same batch, same numbers."""
    seen = []
    multi = loop.multi_mode_backward

    def watch(network, images, labels, criterion, **keys):
        if not seen:
            seen.append(({name: t.clone() for name, t in network.state_dict().items()}, images.clone(), labels.clone(), criterion, keys))
            result = multi(network, images, labels, criterion, **keys)
            seen.append(gradients(network))
            return result
        return multi(network, images, labels, criterion, **keys)

    monkeypatch.setattr(loop, "multi_mode_backward", watch)
    result = train(tiny(), tmp_path, quiet=True)
    (state, images, labels, criterion, keys), wanted = seen
    result.network.load_state_dict(state)
    result.network.train().zero_grad()
    qz.multi_mode_backward(result.network, images, labels, criterion, **keys)
    for name, gradient in gradients(result.network).items():
        assert torch.equal(gradient, wanted[name]), name
