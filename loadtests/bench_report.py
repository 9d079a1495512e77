"""The generated parts of ``docs/benchmarks.md``: between two markers each, from the kept results.

What a benchmark was not run for stays as it stands in the document, so a report of one benchmark
changes its rows and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.bench_tables import EXTRA, PICTURE
from loadtests.kept import latest

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One row of the table, as far as no measurement changes it."""

    what: str
    """The first cell, by which the row is found again."""

    peer: str = ""
    goal: str = ""
    """In words; that of the ratio without."""

    ours: Callable[[Line], str] | None = None
    """Tells our side where seconds do not."""

    ratio: bool = True
    """Whether the ratio says something by itself."""


ROWS: dict[str, Row] = {
    "transport": Row(
        "`transport`: a 300×512×512 volume to 8 checks", "the same volume as a gRPC tensor a check"
    ),
    "decode": Row(
        "`decode`: 300 uncompressed slices", "pydicom: `dcmread().pixel_array` loop and stack"
    ),
    "decode-simpleitk": Row(
        "`decode` beside SimpleITK, the same slices",
        "SimpleITK's `ImageSeriesReader`, file names known and in order",
    ),
    "j2k": Row(
        "`j2k`: 100 JPEG 2000 lossless slices", "quickest installed decoder on one core"
    ),
    "tensors": Row(
        "`tensors`: a 300×512×512 volume → network-ready tensors of anatomy and all checks",
        "MONAI `Spacing`, `ScaleIntensityRange`, crop, one check after another",
    ),
    "tensors-cropped": Row(
        "`tensors` beside a MONAI that crops first", "MONAI crop, `Spacing`, `ScaleIntensityRange`"
    ),
    "inference": Row(
        "`inference`: every network call of that study, as served on this CPU",
        "the same files and inputs in ONNX Runtime, same threads",
    ),
    "study": Row(
        "`study`: anatomy and liver, 300 slices, from the order to the result",
        "MONAI Deploy App SDK 4.0.0 operators, torch, same weights",
    ),
    "study-litserve": Row(
        "`study` with all checks, the same 300 slices",
        "the same networks in a plain LitServe service",
    ),
    "nothing-runs": Row(
        "`nothing-runs`: of that study's wall time, while no network executes",
        goal="≤ 1.5 s",
        ratio=False,
    ),
    "ingest": Row(
        "`ingest`: a study of 400 slices of 512² by STOW-RS, durable",
        "Orthanc 1.10.1 with DICOMweb, `SyncStorageArea` and SQLite",
    ),
    "ingest-raw": Row(
        "`ingest`, the same bytes", "one raw body into one file with one fsync, same HTTP server"
    ),
    "ingest-memory": Row(
        "`ingest-memory`: 5 GB in one request",
        goal="≤ 50 MB",
        ours=lambda line: f"{line['ours']:.0f} MB grown, {line['seconds']:.0f} s",
        ratio=False,
    ),
    "results": Row(
        "`results`: SR, SEG and Secondary Capture of 300 slices of 512², 30 lesions, 10 organs",
        goal="≤ 1 s; SEG ≤ 1.2× its packed frames",
        ours=lambda line: f"{line['ours']:.2f} s; SEG {line['size_ratio']:.3f}×",
        ratio=False,
    ),
    "dimse": Row(
        "`dimse`: C-STORE, 200 instances of 512², one association, each durable before the next",
        "the disk alone: two flushes an instance",
        goal="≥ 60 MB/s",
    ),
}  # fmt: skip

HEADS = ("what", "peer", "ratio", "goal", "ours", "peer's", "machine", "commit, date")


def write(document: Path, lines: Sequence[Line]) -> bool:
    """Write the generated parts of a document and its picture; tells whether its text changed."""
    before = document.read_text(encoding="utf-8")
    after = render(before, lines)
    document.write_text(after, encoding="utf-8")
    if growth := latest(lines).get("growth"):
        from loadtests.growth_plots import draw  # matplotlib is no part of the product

        draw(growth[-1], document.parent / PICTURE)
    return after != before


def render(document: str, lines: Sequence[Line]) -> str:
    """Give a document with its generated parts made of some results.

    Raises
    ------
    ValueError
        When the document lacks a marker.
    """
    found = latest(lines)
    document = replaced(document, "table", table(_block(document, "table"), found))
    for name, text in EXTRA.items():
        if name in found:
            document = replaced(document, name, text(found[name][-1]))
    return document


def table(before: str, found: Mapping[str, Sequence[Line]]) -> str:
    """Give the table: rows of what was measured, and the rows of `before` of what was not."""
    kept = _rows(before)
    rows: list[str] = []
    for name, row in ROWS.items():
        if name in found:
            rows.append(_written(row, found[name]))
        elif row.what in kept:
            rows.append(kept[row.what])
    heads = [_cells(HEADS), _cells(["---"] * len(HEADS))]
    commands = {str(line["command"]): None for lines in found.values() for line in lines[-1:]}
    told = [f"Measured last by {', '.join(f'`{one}`' for one in commands)}."] if commands else []
    old = [line for line in before.splitlines() if line.startswith("Measured last by ")]
    return "\n".join([*heads, *rows, "", *(told or old)]).rstrip()


def replaced(document: str, name: str, text: str) -> str:
    """Put a text between the markers of a block.

    Raises
    ------
    ValueError
        When the document has no such block.
    """
    begin, end = _markers(name)
    if document.count(begin) != 1 or document.count(end) != 1:
        raise ValueError(f"the document must have {begin} and {end} once each")
    head, rest = document.split(begin)
    return f"{head}{begin}\n{text.strip()}\n{end}{rest.split(end)[1]}"


def seconds(values: Sequence[float]) -> str:
    """Write seconds, or their range, in the unit that suits them."""
    low, high = min(values), max(values)
    scale, unit = (1000.0, "ms") if high < 0.2 else (1.0, "s")
    return f"{_range(low * scale, high * scale)} {unit}"


def _written(row: Row, lines: Sequence[Line]) -> str:
    last = lines[-1]
    ratios = [float(line["ratio"]) for line in lines]
    if row.ours is not None:
        ours, peer = row.ours(last), ""
    else:
        ours, peer = (
            _amount([line.get(side) for line in lines], last) for side in ("ours", "peer")
        )
    goal = row.goal or (f"≥ {last['goal']:g}×" if last.get("goal") is not None else "")
    return _cells(
        [
            row.what,
            row.peer,
            f"{_range(min(ratios), max(ratios))}×" if row.ratio else "",
            goal,
            ours,
            peer if row.peer else "",
            str(last["machine"]),
            f"{last['commit']}, {last['date']}",
        ]
    )


def _amount(values: Sequence[Any], line: Line) -> str:
    known = [float(value) for value in values if value is not None]
    if not known:
        return ""
    if line["unit"] == "s":
        return seconds(known)
    return f"{_range(min(known), max(known))} {line['unit']}"


def _range(low: float, high: float) -> str:
    low_text, high_text = _number(low), _number(high)
    return low_text if low_text == high_text else f"{low_text}–{high_text}"


def _number(value: float) -> str:
    """Write three digits."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _rows(text: str) -> dict[str, str]:
    """Give the rows of a table by their first cell."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return {row[2:].split(" | ")[0]: row for row in rows}


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _block(document: str, name: str) -> str:
    begin, end = _markers(name)
    if begin not in document or end not in document:
        raise ValueError(f"the document must have {begin} and {end} once each")
    return document.split(begin)[1].split(end)[0]


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}: written by loadtests.bench -->", f"<!-- end of {name} -->"
