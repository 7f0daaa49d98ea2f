"""The compiled part of quantizable."""

from collections.abc import Mapping, Sequence

import numpy
import numpy.typing


def cpu_features() -> dict[str, bool]:
    """
    Return which instruction sets the CPU has and the operating system saves; all False where nothing is known.
    """

def unit_kernels() -> list[str]:
    """
    Return the names of the kernel sets that this CPU can run, the fastest first.
    """

def unit_use_kernels(name: str) -> None:
    """
    Run all later passes with this kernel set; ValueError for a name that is not one.
    """

def unit_quantize(rows: int, channels: int, threads: int, x: int, inverse: float, zero: float, top: float, q: int) -> bool: ...

def unit_relu_quantize(rows: int, channels: int, threads: int, x: int, inverse: float, zero: float, top: float, r: int, q: int) -> bool: ...

def unit_widen(rows: int, channels: int, threads: int, q: int, zero: float, out: int, is_bf16: bool) -> None: ...

def unit_window_sums(images: int, channels: int, groups: int, threads: int, in_size: tuple[int, int], out_size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int], q: int, out: int) -> None: ...

def unit_add_window_sums(rows: int, channels: int, threads: int, groups: int, window: int, sums: int) -> float: ...

def unit_statistics(rows: int, channels: int, threads: int, sums: int, shift: int, class_of: int, area: int, total: int) -> None: ...

def unit_epilogue(rows: int, channels: int, threads: int, sums: int, multiplier: int, offset: int, class_of: int, area: int, y: int) -> None: ...

def unit_epilogue_codes(rows: int, channels: int, threads: int, sums: int, multiplier: int, offset: int, class_of: int, area: int, inverse: float, zero: float, top: float, y: int, q: int) -> bool: ...

def unit_norm_sums(rows: int, channels: int, threads: int, g: int, sums: int, shift: int, class_of: int, area: int, total: int) -> None: ...

def unit_norm_input(rows: int, channels: int, threads: int, g: int, sums: int, by_g: int, by_sum: int, constant: int, class_of: int, area: int, out: int, is_bf16: bool) -> None: ...

def unit_coded_sums(rows: int, channels: int, threads: int, g: int, is_bf16: bool, sums: int, epilogue: tuple[int, int], window: tuple[float, float, float, float, int], shift: int, class_of: int, area: int, total: int) -> None: ...

def unit_coded_input(rows: int, channels: int, threads: int, g: int, is_bf16: bool, sums: int, epilogue: tuple[int, int], window: tuple[float, float, float, float, int], by_g: int, by_sum: int, constant: int, class_of: int, area: int, out: int) -> None: ...

def unit_window(rows: int, channels: int, threads: int, g: int, is_bf16: bool, x: int, window: tuple[float, float, float, float, int], skip: int, out: int) -> float: ...

def unit_code_weights(out_channels: int, k: int, threads: int, weight: int, range: int, bits: Sequence[int], integer: int, wide: int, scale: int) -> None: ...

def unit_divide_rows(out_channels: int, k: int, threads: int, g: int, is_bf16: bool, scale: int, out: int) -> None: ...

def unit_checksum(n: int, words: int, seed: int) -> int: ...

def unit_fold_batch(unit: tuple[int, int, float, int, int, float, int], norm: tuple[int, int, int, int, float], total: int, count: float, momentum: float, multiplier: int, offset: int, saved: int) -> None: ...

def unit_fold_running(unit: tuple[int, int, float, int, int, float, int], norm: tuple[int, int, int, int, float], multiplier: int, offset: int, saved: int) -> None: ...

def unit_norm_gradient_batch(unit: tuple[int, int, float, int, int, float, int], norm: tuple[int, int, int, int, float], saved: int, total: int, count: float, coefficients: int, gradients: int) -> float: ...

def unit_norm_gradient_running(unit: tuple[int, int, float, int, int, float, int], norm: tuple[int, int, int, int, float], saved: int, total: int, coefficients: int, gradients: int) -> float: ...

def engine_kernels() -> list[tuple[str, str, str, str, bool]]:
    """
    Return (name, operation, operands, set, whether this CPU runs it) of every kernel, the fastest set first.
    """

def engine_packed_bytes(kernel: str, shape: tuple[int, int, int, int, int]) -> int:
    """
    Return the size of a layer's weights as a kernel wants them; shape: out, in / groups, kernel height, width, groups.
    """

def engine_pack(kernel: str, shape: tuple[int, int, int, int, int], weight: int, packed: int) -> None:
    """
    Lay out the weights at one address for a kernel at another; int16 for u8 kernels, else float32.
    """

class EngineProgram:
    """Steps that run one after another."""

    def __init__(self, threads: int, scratch: int, scratch_bytes: int) -> None: ...

    def add(self, kernel: str, items: int, integers: Mapping[str, Sequence[int]], numbers: Mapping[str, float]) -> None:
        """Append a step."""

    def run(self, arena: numpy.typing.NDArray[numpy.uint8], input: numpy.typing.NDArray[numpy.generic], output: numpy.typing.NDArray[numpy.float32]) -> None:
        """Run all steps without the interpreter lock."""

    def last_ns(self) -> list[int]:
        """Return the time of each step in the last run, in nanoseconds."""
