"""train a network in all its bit modes, as a recipe says

A run that was stopped or killed goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = "quantizable train recipes/digits.toml --run results/quickstart train.epochs=10"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("recipe", metavar="RECIPE.toml", help="for example recipes/digits.toml")
    parser.add_argument("overrides", nargs="*", metavar="SECTION.KEY=VALUE", help="replaces one key, for example train.lr=0.1")
    parser.add_argument("--run", metavar="FOLDER", help="where records and checkpoints go (default: results/<name of the recipe>)")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Train, and print the accuracy of every mode."""
    from quantizable.training import load_recipe, train

    recipe = load_recipe(args.recipe, args.overrides)
    result = train(recipe, Path(args.run or Path("results") / recipe.name), quiet=args.quiet)
    for mode, accuracy in result.accuracy.items():
        print(f"{mode:8} {accuracy.top1:6.2f} % top-1 of {accuracy.n} test images")
    print(f"records and checkpoint: {result.folder}")
    return 0
