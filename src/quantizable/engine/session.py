"""Session: a frozen network that runs, in any of its modes, and switches while it runs. Page: docs/engine.md."""

from __future__ import annotations

import os
from collections.abc import Iterable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantizable.artifact import Artifact, open_artifact
from quantizable.engine.kernels import VARIABLE, Kernels
from quantizable.engine.lower import lower
from quantizable.engine.program import Program, StepTime
from quantizable.engine.tensor import Buffer, Tensor, channels_last
from quantizable.engine.weights import Weights
from quantizable.errors import EngineError, GraphError, ModeError
from quantizable.graph import IntegerModel, check
from quantizable.modes import Mode, parse_mode

MOST_PROGRAMS = 64  # of a session; beyond it the one made first goes
MOST_THREADS = 256
LAYOUTS = ("NCHW", "NHWC")
Key = tuple[str, tuple[int, ...], str, str]  # mode, shape as given, dtype, layout


class Session:
    """A frozen network in all its modes. Every result equals `graph.run`, bit for bit in the integer modes.

    Methods may be called from several threads; a change of mode counts for the runs that start after it.
    """

    def __init__(self, network: IntegerModel | Artifact | str | os.PathLike[str], *, threads: int = 1) -> None:
        """Open a network; it starts in its highest mode.

        Args:
            network: a model, or a .qdnn file: its path, its address, or what `open_artifact` returned.
            threads: of the compiled steps of one run. Results do not depend on it.

        Raises:
            EngineError: `threads` is out of range, or QUANTIZABLE_KERNELS names no set that this CPU runs.
            ArtifactError, GraphError: no sound network.
        """
        if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
            raise EngineError(f"session: threads must be an integer from 1 to {MOST_THREADS}, found {threads!r}; write threads=1")
        self._kernels = Kernels(os.environ.get(VARIABLE))
        if isinstance(network, IntegerModel):
            check(network)
            self._model = network
        else:
            self._model = (network if isinstance(network, Artifact) else open_artifact(network)).model()
        self._threads = threads
        self._mode = self._model.modes[0]
        self._weights = Weights(self._model, self._kernels)
        self._prepared: set[str] = set()
        self._programs: dict[Key, Program] = {}
        self._last: dict[str, Program] = {}  # the program that ran last in a mode
        self._arenas: list[NDArray[np.uint8]] = []
        self._lock = Lock()  # held while weights are packed and programs made

    @property
    def modes(self) -> tuple[str, ...]:
        """The names of the network's modes, from the highest to the lowest."""
        return self._model.modes

    @property
    def mode(self) -> str:
        """The mode of the runs that start now."""
        return self._mode

    @property
    def prepared(self) -> tuple[str, ...]:
        """The modes whose weights are ready."""
        return tuple(mode for mode in self.modes if mode in self._prepared)

    @property
    def arena_bytes(self) -> int:
        """Bytes for the activations of one run, the most that any shape of input has needed so far; 0 before the first."""
        return max((program.arena_bytes for program in list(self._programs.values())), default=0)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the prepared weights of all modes."""
        return self._weights.size_bytes

    def set_mode(self, mode: Mode | str | int) -> None:
        """Run in `mode` from now on.

        Raises:
            ModeError: not one of the network's modes.
        """
        self._mode = self._named(mode)

    def prepare(self, modes: Iterable[Mode | str | int]) -> None:
        """Lay out the weights of `modes` now, not at their first run.

        Raises:
            ModeError: not one of the network's modes; then none was prepared.
        """
        names = [self._named(mode) for mode in modes]
        with self._lock:
            for name in names:
                self._weights.prepare(name)
                self._prepared.add(name)

    def release(self, modes: Iterable[Mode | str | int]) -> None:
        """Free the prepared weights of `modes`; a later run prepares them again. Runs that have started end as they would.

        Raises:
            ModeError: not one of the network's modes.
            EngineError: a mode is not prepared; then none was released.
        """
        names = [self._named(mode) for mode in modes]
        with self._lock:
            for name in names:
                if name not in self._prepared:
                    ready = ", ".join(self.prepared) or "none"
                    raise EngineError(f"{self._model.name}: mode {name} is not prepared, {ready} is; release those")
            self._prepared.difference_update(names)
            self._programs = {key: program for key, program in self._programs.items() if key[0] in self._prepared}
            self._last = {mode: program for mode, program in self._last.items() if mode in self._prepared}
            self._weights.keep(self._prepared)

    def run(self, x: NDArray[Any], *, layout: str = "") -> NDArray[np.float32]:
        """Return the output of the network in its mode for a batch, float32.

        Args:
            x: float32 (N, C, H, W) or (N, H, W, C), or uint8 (N, H, W, C) where the model knows what bytes stand for.
                Any N and, where every operation allows it, any H and W.
            layout: "NCHW" or "NHWC" of float32; "" takes NCHW where axis 1 has the model's channels, else NHWC.

        Raises:
            EngineError: another dtype or shape, or a size that an operation refuses.
        """
        mode = self._mode
        if not isinstance(x, np.ndarray):
            raise EngineError(f"{self._model.name}: input: must be a numpy array, found {type(x).__name__}; convert it")
        key = (mode, x.shape, x.dtype.char, layout)
        program = self._programs.get(key)
        if program is None:
            program = self._program(key, x)
        arena = self._arena(program.arena_bytes)
        out = program.run(x if x.flags.c_contiguous else np.ascontiguousarray(x), arena)
        self._arenas.append(arena)
        self._last[mode] = program
        return out

    def profile(self) -> list[StepTime]:
        """Return the steps of the last run in the present mode, each with its kernel, ms, and GMAC/s.

        Raises:
            EngineError: nothing ran in this mode yet.
        """
        program = self._last.get(self._mode)
        if program is None:
            raise EngineError(f"{self._model.name}: nothing ran in mode {self._mode} yet; run a batch first")
        return program.times()

    def _named(self, mode: Mode | str | int) -> str:
        name = parse_mode(mode).name
        if name not in self.modes:
            raise ModeError(f"mode {name!r}: {self._model.name} has {', '.join(self.modes)}; choose one of these")
        return name

    def _program(self, key: Key, x: NDArray[Any]) -> Program:
        """Return the program for inputs like `x`, made now; two threads that need it at once make it once."""
        mode = key[0]
        batch = _batch(self._model, x, key[3])
        with self._lock:
            if key in self._programs:
                return self._programs[key]
            try:
                plan = lower(self._model, mode, batch, self._kernels, lambda layer, kernel: self._weights.of(layer, mode, kernel))
            except GraphError as error:
                raise EngineError(f"{error}") from error
            self._prepared.add(mode)
            program = Program(plan, self._threads)
            while len(self._programs) >= MOST_PROGRAMS:
                del self._programs[next(iter(self._programs))]
            self._programs[key] = program
            return program

    def _arena(self, size_bytes: int) -> NDArray[np.uint8]:
        """Return memory for one run: some that no run uses now, or new where none is free or large enough."""
        try:
            arena = self._arenas.pop()
        except IndexError:
            return np.empty(size_bytes, np.uint8)
        return arena if arena.nbytes >= size_bytes else np.empty(size_bytes, np.uint8)


def _batch(model: IntegerModel, x: NDArray[Any], layout: str) -> Tensor:
    """Return the input as a tensor of the model's axes.

    Raises:
        EngineError: see `Session.run`.
    """
    spec, where, rank = model.input, f"{model.name}: input", len(model.input.shape) + 1
    if layout not in ("", *LAYOUTS):
        raise EngineError(f"{where}: layout must be {' or '.join(LAYOUTS)}, found {layout!r}; leave it out where it is clear")
    if x.dtype not in (np.float32, np.uint8):
        raise EngineError(f"{where}: must be float32 or uint8, found {x.dtype}; convert it")
    if x.dtype == np.uint8 and not spec.mean:
        raise EngineError(f"{where}: uint8 needs the mean and std of the images, the model has none; give float32, or freeze with them")
    channels = spec.shape[0]
    is_first = x.ndim == rank and x.shape[1] == channels and layout != "NHWC" and x.dtype != np.uint8
    is_last = x.ndim == rank and x.shape[-1] == channels and layout != "NCHW"
    if not is_first and not is_last:
        wanted = ", ".join(map(str, ("N", *spec.shape)))
        raise EngineError(f"{where}: must be ({wanted}), or channels last, which bytes must be, found {x.dtype} {x.shape}; reorder it")
    buffer = Buffer(x.nbytes, "input")
    if is_first:
        return Tensor(buffer, x.shape, tuple(range(rank)), x.itemsize)
    return Tensor(buffer, (x.shape[0], x.shape[-1], *x.shape[1:-1]), channels_last(rank), x.itemsize)
