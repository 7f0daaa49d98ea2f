"""What a report says, before it is set as Markdown or as a page: title, answer, commands, circumstances, tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quantizable.report.accuracy import Series, series_of
from quantizable.report.claim import Claim
from quantizable.report.claim_tables import tables_of
from quantizable.report.runs import LABELS, Row
from quantizable.report.tables import Table
from quantizable.report.timings import written_ms


@dataclass(frozen=True, slots=True)
class Contents:
    """A report in words. recipes: name -> dotted key -> value, as resolved."""

    title: str
    sentence: str  # the claim with its answer
    compared: str  # what is compared and why it is fair
    commands: tuple[str, ...]
    circumstances: tuple[str, ...]  # commit, versions, machine, threads, dates: a line for each that differs
    notes: tuple[str, ...]  # what is missing
    tables: tuple[Table, ...]
    recipes: Mapping[str, Mapping[str, str]]


def contents_of(claim: Claim) -> Contents:
    """Return what the report of `claim` says."""
    return Contents(
        title=claim.title,
        sentence=str(claim.words.get("claim") or _sentence(claim)),
        compared=str(claim.words.get("compared") or _compared(claim)),
        commands=tuple(dict.fromkeys(str(start.get("command")) for start in claim.starts if start.get("command"))),
        circumstances=_circumstances(claim.starts),
        notes=_notes(claim),
        tables=tables_of(claim),
        recipes={run.recipe: run.settings for run in claim.runs if run.settings},
    )


def _sentence(claim: Claim) -> str:
    if claim.kind == "benchmark":
        case = claim.timings[0].case
        figures = " against ".join(f"{one.variant} {written_ms(one.median_ms)} ms" for one in claim.timings if one.case == case)
        return f"{case}: {figures} (medians)." if case else f"{figures} (medians)."
    best = [one for one in series_of(claim) if one.recipe == claim.baseline and one.top1]
    if not best:
        return f"{len(claim.runs)} runs begun, none scored yet."
    one = max(best, key=lambda series: LABELS.index(series.label))
    figures = ", ".join(f"{mode} {one.written(mode)}" for mode in one.top1)
    return f"{_subject(claim, one)} top-1 accuracy in %: {figures}."


def _subject(claim: Claim, one: Series) -> str:
    who = f"{one.recipe}, {one.label} weights" if claim.kind == "study" else f"One network, {one.label} weights"
    return f"{who}, {len(one.top1)} modes;" if len(one.top1) > 1 else f"{who};"


def _compared(claim: Claim) -> str:
    if claim.kind == "benchmark":
        return f"{len({timing.variant for timing in claim.timings})} variants, timed on the machine named below."
    if claim.kind == "run":
        return "The modes of one network, which share one set of weights; where several kinds of weights are listed, the same images."
    seeds = f"seeds {', '.join(map(str, sorted({run.seed for run in claim.runs})))}"
    if len(claim.recipes) == 1:
        return f"One recipe, {seeds}."
    return f"{len(claim.recipes)} recipes, {seeds}; what differs between the recipes is listed below."


def _circumstances(starts: tuple[Row, ...]) -> tuple[str, ...]:
    lines: dict[str, list[str]] = {}
    for start in starts:
        versions, machine = start.get("versions"), start.get("machine")
        parts = [f"commit {start.get('commit') or 'unknown'}"]
        if isinstance(versions, Mapping):
            parts.append(", ".join(f"{name} {version}" for name, version in sorted(versions.items())))
        if isinstance(machine, Mapping):
            flags = machine.get("flags")
            parts.append(
                f"{machine.get('cpu')}, {machine.get('cores')} cores"
                + (f" ({' '.join(map(str, flags))})" if isinstance(flags, list) and flags else "")
                + (f", {machine['gpu']}" if "gpu" in machine else "")
            )
        if start.get("threads"):
            parts.append(f"{start['threads']} thread{'s' if start['threads'] != 1 else ''}")
        lines.setdefault("; ".join(parts), []).append(str(start.get("date", ""))[:10])
    return tuple(f"{line}; {' to '.join(sorted({min(dates), max(dates)}))}" for line, dates in lines.items())


def _notes(claim: Claim) -> tuple[str, ...]:
    notes = [f"{run.recipe}, seed {run.seed}: {run.state}." for run in claim.runs if not run.is_finished]
    if claim.n_unfinished_bytes:
        notes.append(f"{claim.n_unfinished_bytes} bytes of a row that was not finished are left out.")
    differing = [f"{timing.case} {timing.variant}".strip() for timing in claim.timings if len(timing.checksums) > 1]
    if differing:
        notes.append(f"Repetitions of {', '.join(differing)} did not give the same output.")
    return tuple(notes)
