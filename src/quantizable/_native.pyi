"""The compiled part of quantizable."""

from collections.abc import Sequence

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
def unit_window_sums(
    images: int,
    channels: int,
    groups: int,
    threads: int,
    in_size: tuple[int, int],
    out_size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    q: int,
    out: int,
) -> None: ...
def unit_add_window_sums(rows: int, channels: int, threads: int, groups: int, window: int, sums: int) -> float: ...
def unit_statistics(rows: int, channels: int, threads: int, sums: int, shift: int, class_of: int, area: int, total: int) -> None: ...
def unit_epilogue(
    rows: int, channels: int, threads: int, sums: int, multiplier: int, offset: int, class_of: int, area: int, y: int
) -> None: ...
def unit_epilogue_codes(
    rows: int,
    channels: int,
    threads: int,
    sums: int,
    multiplier: int,
    offset: int,
    class_of: int,
    area: int,
    inverse: float,
    zero: float,
    top: float,
    y: int,
    q: int,
) -> bool: ...
def unit_norm_sums(rows: int, channels: int, threads: int, g: int, sums: int, shift: int, class_of: int, area: int, total: int) -> None: ...
def unit_norm_input(
    rows: int,
    channels: int,
    threads: int,
    g: int,
    sums: int,
    by_g: int,
    by_sum: int,
    constant: int,
    class_of: int,
    area: int,
    out: int,
    is_bf16: bool,
) -> None: ...
def unit_coded_sums(
    rows: int,
    channels: int,
    threads: int,
    g: int,
    is_bf16: bool,
    sums: int,
    epilogue: tuple[int, int],
    window: tuple[float, float, float, float, int],
    shift: int,
    class_of: int,
    area: int,
    total: int,
) -> None: ...
def unit_coded_input(
    rows: int,
    channels: int,
    threads: int,
    g: int,
    is_bf16: bool,
    sums: int,
    epilogue: tuple[int, int],
    window: tuple[float, float, float, float, int],
    by_g: int,
    by_sum: int,
    constant: int,
    class_of: int,
    area: int,
    out: int,
) -> None: ...
def unit_window(
    rows: int,
    channels: int,
    threads: int,
    g: int,
    is_bf16: bool,
    x: int,
    window: tuple[float, float, float, float, int],
    skip: int,
    out: int,
) -> float: ...
def unit_code_weights(
    out_channels: int, k: int, threads: int, weight: int, range: int, bits: Sequence[int], integer: int, wide: int, scale: int
) -> None: ...
def unit_divide_rows(out_channels: int, k: int, threads: int, g: int, is_bf16: bool, scale: int, out: int) -> None: ...
def unit_checksum(n: int, words: int, seed: int) -> int: ...
def unit_fold_batch(
    unit: tuple[int, int, float, int, int, float, int],
    norm: tuple[int, int, int, int, float],
    total: int,
    count: float,
    momentum: float,
    multiplier: int,
    offset: int,
    saved: int,
) -> None: ...
def unit_fold_running(
    unit: tuple[int, int, float, int, int, float, int], norm: tuple[int, int, int, int, float], multiplier: int, offset: int, saved: int
) -> None: ...
def unit_norm_gradient_batch(
    unit: tuple[int, int, float, int, int, float, int],
    norm: tuple[int, int, int, int, float],
    saved: int,
    total: int,
    count: float,
    coefficients: int,
    gradients: int,
) -> float: ...
def unit_norm_gradient_running(
    unit: tuple[int, int, float, int, int, float, int],
    norm: tuple[int, int, int, int, float],
    saved: int,
    total: int,
    coefficients: int,
    gradients: int,
) -> float: ...
