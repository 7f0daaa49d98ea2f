"""Training in all bit modes: losses, the multi-mode step, schedules, calibration, evaluation, recipes, and the loop.

loop.py reads from top to bottom; step.py is what anybody's own loop calls. A new teacher is one row in losses.py.
"""

from __future__ import annotations

from quantizable.training.calibrate import calibrate, reestimate_norms
from quantizable.training.distributed import World, join_world
from quantizable.training.evaluate import Accuracy, accuracy_table, evaluate
from quantizable.training.loop import TrainResult, train
from quantizable.training.losses import TEACHERS, ConsistencyLoss
from quantizable.training.memory import keep_freed_memory
from quantizable.training.optimizers import make_optimizer, parameter_groups, rate_factor
from quantizable.training.recipe import Recipe, check_recipe
from quantizable.training.recipe_file import load_recipe, to_toml
from quantizable.training.run_folder import SavedRun, open_run
from quantizable.training.run_records import append_evaluation
from quantizable.training.schedule import ModeSchedule
from quantizable.training.setup import build_network, load_splits, train_loader
from quantizable.training.step import StepResult, multi_mode_backward

__all__ = [
    "TEACHERS",
    "Accuracy",
    "ConsistencyLoss",
    "ModeSchedule",
    "Recipe",
    "SavedRun",
    "StepResult",
    "TrainResult",
    "World",
    "accuracy_table",
    "append_evaluation",
    "build_network",
    "calibrate",
    "check_recipe",
    "evaluate",
    "join_world",
    "keep_freed_memory",
    "load_recipe",
    "load_splits",
    "make_optimizer",
    "multi_mode_backward",
    "open_run",
    "parameter_groups",
    "rate_factor",
    "reestimate_norms",
    "to_toml",
    "train",
    "train_loader",
]
