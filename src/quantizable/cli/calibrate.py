"""quantizable calibrate: estimate the steps and norms of modes, without training.

Adds modes to a trained network: their activation steps and norms come from a few batches of training images, the weights from the
codes that all modes share. The trained modes stay as they are. Prints the accuracy of all modes on the test images, appends
those of the new ones to the run's records, and saves the network with both.

CKPT is the folder of a run, or a checkpoint's folder inside one; words such as data.root=PATH replace one key of its recipe each.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EXAMPLE = "quantizable calibrate results/quickstart --modes w3a3,w6a6"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `quantizable calibrate`."""
    parser.add_argument("checkpoint", metavar="CKPT", help="for example results/quickstart")
    parser.add_argument("overrides", nargs="*", metavar="SECTION.KEY=VALUE", help="replaces one key of the recipe")
    parser.add_argument("--modes", metavar="MODES", required=True, help="modes to add, for example w3a3,w6a6")
    parser.add_argument("-o", "--out", metavar="OUT", help="folder of the new checkpoint (default: calibrated/ beside the old one)")


def run(args: argparse.Namespace) -> int:
    """Calibrate, evaluate, record, save."""
    from quantizable.data import Loader
    from quantizable.errors import CheckpointError, ModeError
    from quantizable.modes import parse_modes
    from quantizable.network import modes_of, save
    from quantizable.training import accuracy_table, append_evaluation, calibrate, evaluate, join_world, load_splits, open_run, train_loader

    new = parse_modes(args.modes)
    saved = open_run(args.checkpoint, args.overrides)
    out = Path(args.out or saved.checkpoint.parent / "calibrated")
    if out.resolve() == saved.checkpoint.resolve():
        raise CheckpointError(f"{out}: holds the checkpoint that is read; give another folder with -o")
    there = {mode.name for mode in modes_of(saved.network)}
    for mode in new:
        if mode.name in there:
            raise ModeError(
                f"--modes {mode.name!r}: the checkpoint has this mode; name another, or give it a label such as '{mode.name}:b'"
            )
    world = join_world(saved.recipe.train.device)
    splits = load_splits(saved.recipe.data, seed=saved.recipe.seed)
    network = saved.network.to(world.device)
    calibrate(network, train_loader(splits, saved.recipe, world), new, batches=saved.recipe.train.calibration_batches)
    found = {} if splits.test is None else evaluate(network, Loader.in_order(splits.test, batch_size=250))
    save(network, out)
    if found:
        append_evaluation(saved.folder, "calibrated", "post-training", "test", {mode.name: found[mode.name] for mode in new})
        print(accuracy_table(found))
    print(f"saved with {len(new)} more modes: {out}", file=sys.stderr)
    return 0
