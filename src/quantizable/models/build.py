"""Float networks by name: one line each, or the import path of anybody's own."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable
from functools import partial

from torch import nn

from quantizable.errors import RecipeError
from quantizable.models.digits_net import DigitsNet
from quantizable.models.resnet_cifar import CifarResNet
from quantizable.models.resnet_imagenet import ImagenetResNet
from quantizable.models.resnet_wide_stem import WideStemResNet

Factory = Callable[..., nn.Module]

_MODELS: dict[str, Factory] = {
    "digits_net": DigitsNet,
    "resnet8": partial(CifarResNet, 8),
    "resnet14": partial(CifarResNet, 14),
    "resnet20": partial(CifarResNet, 20),
    "resnet32": partial(CifarResNet, 32),
    "resnet44": partial(CifarResNet, 44),
    "resnet56": partial(CifarResNet, 56),
    "resnet8_cifar100": partial(WideStemResNet, 8),  # the names of the published files; any number of classes
    "resnet20_cifar100": partial(WideStemResNet, 20),
    "resnet32_cifar100": partial(WideStemResNet, 32),
    "resnet18": partial(ImagenetResNet, 18),
    "resnet34": partial(ImagenetResNet, 34),
    "resnet50": partial(ImagenetResNet, 50),
}


def model_names() -> tuple[str, ...]:
    """Return the names that `build` knows."""
    return tuple(_MODELS)


def build(name: str, *, num_classes: int, **options: object) -> nn.Module:
    """Return a float network with fresh weights, drawn from torch's global generator.

    Args:
        name: one of `model_names()`, or "package.module:factory" of a function or class that takes `num_classes`.
        num_classes: outputs, 1 or more.
        options: passed on, for example width=2.

    Raises:
        RecipeError: no such network or factory, an option it does not take, or a factory that returns no nn.Module.
    """
    if num_classes < 1:
        raise RecipeError(f"model {name!r}: num_classes must be 1 or more, found {num_classes}; give the number of labels")
    factory = _imported(name) if ":" in name else _known(name)
    arguments: dict[str, object] = {"num_classes": num_classes, **options}
    _check_arguments(name, factory, arguments)
    try:
        network: object = factory(**arguments)
    except TypeError as error:
        raise RecipeError(f"model {name!r}: cannot be built with {arguments} ({error}); mend the options") from error
    if not isinstance(network, nn.Module):
        raise RecipeError(f"model {name!r}: the factory returned {type(network).__name__}, not an nn.Module; return the network")
    return network


def _known(name: str) -> Factory:
    factory = _MODELS.get(name)
    if factory is None:
        near = difflib.get_close_matches(name, _MODELS, n=1)
        advice = f"the nearest is '{near[0]}'; known are" if near else "known are"
        raise RecipeError(f"model {name!r}: no network has this name; {advice} {', '.join(_MODELS)}, or write 'package.module:factory'")
    return factory


def _imported(path: str) -> Factory:
    module_name, _, attribute = path.partition(":")
    try:
        factory: object = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, ValueError) as error:
        raise RecipeError(f"model {path!r}: cannot import {module_name!r} ({error}); install it, or mend the name") from error
    except AttributeError as error:
        raise RecipeError(f"model {path!r}: module {module_name!r} has no {attribute!r}; mend the name after the colon") from error
    if not callable(factory):
        raise RecipeError(f"model {path!r}: {attribute!r} is a {type(factory).__name__}, not a function or class; name a factory")
    return factory


def _check_arguments(name: str, factory: Factory, arguments: dict[str, object]) -> None:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except ValueError:  # some compiled callables tell no signature: the call itself will say
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    taken = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for key in arguments:
        if key not in taken:
            raise RecipeError(f"model {name!r}: takes no option {key!r}; it takes {', '.join(taken) or 'none'}")
