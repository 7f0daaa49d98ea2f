"""What a multi-mode training step costs on one core: against plain fp32 steps, our own plain path, and Any-Precision's code.

    taskset -c 0 python benchmarks/training_step.py --any-precision PATH --rounds 5

All variants take turns in one process with one thread; medians after a warm-up. Images are random: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch
from any_precision import any_precision_step
from torch import Tensor, nn
from torch.nn import functional as F

import quantizable as qz
from quantizable.models import CifarResNet, ImagenetResNet
from quantizable.modes import parse_modes
from quantizable.network import fused
from quantizable.records import append_record, provenance
from quantizable.training import keep_freed_memory, make_optimizer, parameter_groups

Step = Callable[[], float]  # makes one step, returns its mean loss
BATCH = {"resnet20": 128, "resnet18": 32}
PLAIN, REFERENCE, OURS, THEIRS = "fp32 steps", "plain multi-mode", "ours", "Any-Precision"
MUST = {PLAIN: 0.8, THEIRS: 0.5}  # largest ratio of ours to these
WARM_UP = 2  # rounds that are not counted: steps are estimated, kernels chosen, memory taken
RATE = 0.01
COMPARED = (
    "Whole steps with their updates on one batch of random images, one thread, all variants taking turns in one process, medians. "
    "Any-Precision's public code runs on its own network at our widths, with its own loss, optimizer and way to switch bits."
)


def main() -> int:
    """Measure, append the rows, print medians and ratios; return 0 where the targets are met, else 1."""
    args = _arguments()
    torch.set_num_threads(1)
    keep_freed_memory()
    modes = [mode.name for mode in parse_modes(args.modes)]
    images, labels = _batch(args.net)
    try:
        steps = _variants(args, modes, images, labels)
    except FileNotFoundError as error:
        args.parser.error(f"--any-precision: {error}")
    if args.profile:
        from step_profile import print_profile

        print_profile(steps[OURS])
        return 0
    clock = {"wall": time.perf_counter, "cpu": time.process_time}[args.clock]
    case = f"{args.net}, batch {len(images)}, {'+'.join(modes)}"
    rows = measure(steps, rounds=args.rounds, clock=clock, case=case)
    medians = {variant: median(float(str(row["ms"])) for row in rows if row["variant"] == variant) for variant in steps}
    claim = _claim(medians, len(modes))
    append_record(args.out, {"kind": "benchmark", **provenance(), "clock": args.clock, "unit": fused.why_not() or "fused"})
    for row in rows:
        append_record(args.out, row)
    append_record(
        args.out, {"kind": "claim", "title": "Cost of a multi-mode training step", "claim": f"{case}: {claim}.", "compared": COMPARED}
    )
    for variant, ms in medians.items():
        print(f"{_name(variant, len(modes)):28} {ms:9.1f} ms {medians[OURS] / ms:6.3f}")
    print(f"{case}: {claim}")
    return 0 if all(medians[OURS] <= most * medians[other] for other, most in MUST.items() if other in medians) else 1


def measure(steps: dict[str, Step], *, rounds: int, clock: Callable[[], float], case: str) -> list[dict[str, object]]:
    """Return a row for each timed step, in the order in which they ran."""
    rows: list[dict[str, object]] = []
    for repetition in range(-WARM_UP, rounds):
        for variant, step in steps.items():
            start = clock()
            loss = step()
            ms = 1000 * (clock() - start)
            if repetition >= 0:
                rows.append({"kind": "time", "case": case, "variant": variant, "repetition": repetition, "ms": round(ms, 3), "loss": loss})
    return rows


def float_steps(network: nn.Module, images: Tensor, labels: Tensor, *, n: int) -> Step:
    """Return `n` plain training steps of a float network, each with its update."""
    network = _channels_last(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9, fused=True)

    def steps() -> float:
        losses = []
        for _ in range(n):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    return steps


def multi_mode_step(network: nn.Module, modes: list[str], images: Tensor, labels: Tensor) -> Step:
    """Return a multi-mode step as a user writes it."""
    converted = _channels_last(qz.convert(network, modes, example=images[:2]))
    optimizer = make_optimizer("sgd", parameter_groups(converted, lr=RATE), lr=RATE)
    criterion = qz.ConsistencyLoss()

    def step() -> float:
        optimizer.zero_grad()
        result = qz.multi_mode_backward(converted, images, labels, criterion)
        optimizer.step()
        return float(result.loss) / len(modes)

    return step


@contextmanager
def _plain_path() -> Iterator[None]:
    """The portable path of the same network, as on a machine where the fused unit cannot run."""
    before = os.environ.get("QUANTIZABLE_FUSED")
    os.environ["QUANTIZABLE_FUSED"] = "0"
    fused.why_not.cache_clear()
    try:
        yield
    finally:
        os.environ.pop("QUANTIZABLE_FUSED") if before is None else os.environ.update(QUANTIZABLE_FUSED=before)
        fused.why_not.cache_clear()


def _variants(args: argparse.Namespace, modes: list[str], images: Tensor, labels: Tensor) -> dict[str, Step]:
    reference = multi_mode_step(_network(args.net), modes, images, labels)

    def plainly() -> float:
        with _plain_path():
            return reference()

    steps: dict[str, Step] = {
        PLAIN: float_steps(_network(args.net), images, labels, n=len(modes)),
        REFERENCE: plainly,
        OURS: multi_mode_step(_network(args.net), modes, images, labels),
    }
    if args.any_precision is not None:
        bits = [mode.weight_bits for mode in parse_modes(args.modes)]
        steps[THEIRS] = any_precision_step(args.any_precision, args.net, bits, images.contiguous(), labels)
    return {name: step for name, step in steps.items() if not args.only or name in (OURS, *args.only)}


def _channels_last(network: nn.Module) -> nn.Module:
    return network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload, no-any-return]


def _network(net: str) -> nn.Module:
    torch.manual_seed(0)
    return CifarResNet(20, num_classes=10) if net == "resnet20" else ImagenetResNet(18, num_classes=10, stem="cifar")


def _batch(net: str) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH[net], 3, 32, 32, generator=random).contiguous(memory_format=torch.channels_last)
    return images, torch.randint(0, 10, (len(images),), generator=random)


def _claim(medians: dict[str, float], n: int) -> str:
    parts = [f"{medians[OURS] / medians[other]:.2f} of {_name(other, n)}" for other in (PLAIN, REFERENCE, THEIRS) if other in medians]
    return f"our step of {n} modes takes {', '.join(parts)}" if parts else f"our step of {n} modes takes {medians[OURS]:.0f} ms"


def _name(variant: str, n: int) -> str:
    return f"{n} {variant}, channels last" if variant == PLAIN else variant


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--any-precision", type=Path, metavar="CLONE", help="folder of a clone of SHI-Labs/Any-Precision-DNNs")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each variant (5)")
    parser.add_argument("--net", choices=BATCH, default="resnet20", help="network (resnet20)")
    parser.add_argument("--modes", nargs="+", default=["fp32", "w8a8", "w4a4", "w2a2", "w1a1"], help="modes of the step")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: time of this process, for a busy machine (wall)")
    parser.add_argument("--only", nargs="+", metavar="VARIANT", help=f"of {PLAIN!r}, {REFERENCE!r}, {THEIRS!r}; ours always runs")
    parser.add_argument("--out", type=Path, default=Path("results/training_step"), help="folder of the records (results/training_step)")
    parser.add_argument("--profile", action="store_true", help="print where the time of our step goes, instead")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f"--rounds: at least 1 is needed, found {args.rounds}; leave it out for 5")
    args.parser = parser
    return args


if __name__ == "__main__":
    sys.exit(main())
