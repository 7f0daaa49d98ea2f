"""quantizable evaluate: measure a checkpoint's accuracy in every mode.

CKPT is the folder of a run, or a checkpoint's folder inside one. Network and data are those of the run's recipe.toml; words such
as data.root=PATH replace one key each, --data and --root name other images of the same classes. They are normalised as in training.
"""

from __future__ import annotations

import argparse
import json

EXAMPLE = "quantizable evaluate results/quickstart --modes fp32,w2a2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `quantizable evaluate`."""
    parser.add_argument("checkpoint", metavar="CKPT", help="for example results/quickstart or results/quickstart/calibrated")
    parser.add_argument("overrides", nargs="*", metavar="SECTION.KEY=VALUE", help="replaces one key of the recipe")
    parser.add_argument("--data", metavar="NAME", help="another data set: digits, cifar10, cifar100, npz, tiny-imagenet, folder")
    parser.add_argument("--root", metavar="PATH", help="where the data is")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="which images (default: test)")
    parser.add_argument("--modes", metavar="MODES", help="for example fp32,w4a4 (default: all of the checkpoint)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


def run(args: argparse.Namespace) -> int:
    """Evaluate, and print a row per mode."""
    from dataclasses import asdict

    from quantizable.data import Loader
    from quantizable.errors import DataError
    from quantizable.modes import parse_modes
    from quantizable.training import accuracy_table, evaluate, join_world, load_splits, open_run

    modes = None if args.modes is None else parse_modes(args.modes)
    named = [f"data.{key}={json.dumps(value)}" for key, value in (("name", args.data), ("root", args.root)) if value is not None]
    saved = open_run(args.checkpoint, [*named, *args.overrides])
    splits = load_splits(saved.recipe.data, seed=saved.recipe.seed)
    images = getattr(splits, args.split)
    if images is None:
        other = "test" if args.split == "validation" else "validation"
        raise DataError(f"{saved.recipe.data.name}: has no {args.split} images; take --split {other}")
    network = saved.network.to(join_world(saved.recipe.train.device).device)
    found = evaluate(network, Loader.in_order(images, batch_size=250), modes)
    if args.json:
        rows = {mode: asdict(each) for mode, each in found.items()}
        facts = {"checkpoint": str(saved.checkpoint), "data": images.name, "split": args.split, "modes": rows}
        print(json.dumps(facts, ensure_ascii=False))
    else:
        print(accuracy_table(found))
    return 0
