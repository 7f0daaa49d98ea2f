"""quantizable train: train a network in all its bit modes, as a recipe says.

A recipe is a TOML file with everything a run depends on: network, data, modes, loss, optimizer. Words such as train.lr=0.1
replace one key each. The folder of the run gets recipe.toml, records.jsonl and, at the end, checkpoint/.

A run that was stopped or killed goes on where it was when the same command is given again, to the same numbers.

Several processes, each on its part of every batch (-o, as torchrun takes --run for its own):

  torchrun --nproc_per_node 2 -m quantizable train RECIPE.toml -o FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = "quantizable train recipes/digits.toml --run results/digits train.epochs=10"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `quantizable train`."""
    parser.add_argument("recipe", metavar="RECIPE.toml", help="for example recipes/digits.toml")
    parser.add_argument("overrides", nargs="*", metavar="SECTION.KEY=VALUE", help="replaces one key, for example train.lr=0.1")
    parser.add_argument("-o", "--run", metavar="FOLDER", help="where records and checkpoint go (default: results/<name of the recipe>)")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Train, and print the accuracy of every mode."""
    from quantizable.training import accuracy_table, keep_freed_memory, load_recipe, train

    recipe = load_recipe(args.recipe, args.overrides)
    keep_freed_memory()
    result = train(recipe, Path(args.run or Path("results") / recipe.name), quiet=args.quiet)
    if result.accuracy:
        print(accuracy_table(result.accuracy))
    if result.world.is_first:
        print(f"records and checkpoint: {result.folder}")
    return 0
