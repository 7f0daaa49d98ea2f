"""quantizable describe: show layer by layer what a network became and why.

MODEL is one of

  a folder          of a run, or a checkpoint's inside one
  a recipe          recipes/digits.toml: the network that it would train
  a name            resnet20, or package.module:factory of your own, converted with --modes

--example gives the shape of an input, batch first. With it layers and the norms behind them become one unit, and first and last
are those that run first and last. A recipe takes it from its data; with --example and --classes it needs no data.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

EXAMPLE = "quantizable describe resnet20 --modes fp32,w8a8,w2a2 --example 1,3,32,32"
_MODES, _CLASSES = "fp32,w8a8,w4a4,w2a2", 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `quantizable describe`."""
    parser.add_argument("model", metavar="MODEL", help="for example results/quickstart, recipes/digits.toml, or resnet20")
    parser.add_argument("--modes", metavar="MODES", help=f"of a model by name (default: {_MODES})")
    parser.add_argument("--example", metavar="SHAPE", help="shape of an input, for example 1,3,32,32")
    parser.add_argument("--classes", metavar="N", type=int, help=f"outputs of a model by name (default: {_CLASSES}) or of a recipe's")


def run(args: argparse.Namespace) -> int:
    """Print the table of layers."""
    from quantizable.errors import PlanError, QuantizableError
    from quantizable.network import describe

    try:
        network = _network(args)
    except QuantizableError:
        raise
    except (RuntimeError, ValueError, IndexError, TypeError) as error:  # from the network's own forward
        if args.example is None:
            raise
        reason = str(error).partition("\n")[0]
        raise PlanError(f"--example {args.example!r}: the network does not take this shape ({reason}); give that of its input") from error
    print(describe(network))
    return 0


def _network(args: argparse.Namespace) -> nn.Module:
    from quantizable.errors import PlanError
    from quantizable.models import build
    from quantizable.network import convert
    from quantizable.training import open_run

    path = Path(args.model)
    if path.suffix == ".toml":
        return _of_recipe(args, path)
    if path.is_dir() or "/" in args.model:
        given = [option for option in ("modes", "example", "classes") if getattr(args, option) is not None]
        if given:
            raise PlanError(f"--{given[0]}: is for a model by name, {args.model} has its own; leave it out")
        return open_run(path).network
    network = build(args.model, num_classes=_CLASSES if args.classes is None else args.classes)
    return convert(network, args.modes or _MODES, example=_example(args.example))


def _of_recipe(args: argparse.Namespace, path: Path) -> nn.Module:
    from quantizable.data import Loader
    from quantizable.training import build_network, load_recipe, load_splits

    overrides = [] if args.modes is None else [f"quantize.modes={args.modes}"]
    recipe = load_recipe(path, overrides)
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"weights": None})})  # no value of theirs is shown
    example, n_classes = _example(args.example), args.classes
    if example is None or n_classes is None:
        images = load_splits(recipe.data, seed=recipe.seed).train
        n_classes = images.n_classes if n_classes is None else n_classes
        example = next(iter(Loader.in_order(images, batch_size=2, workers=0)))[0] if example is None else example
    return build_network(recipe, n_classes, example)


def _example(shape: str | None) -> Tensor | None:
    import torch

    from quantizable.errors import PlanError

    if shape is None:
        return None
    sizes = [int(size) if size.strip().isdecimal() else 0 for size in shape.split(",")]
    if min(sizes) < 1:
        raise PlanError(f"--example {shape!r}: a shape is sizes from 1 up with commas between, batch first; write for example 1,3,32,32")
    return torch.zeros(sizes)
