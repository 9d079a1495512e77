"""The report of a load test: one page that carries everything in itself.

``python -m loadtests.report`` writes it anew from ``build/load/found.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.ui.html import Html, plain, tag
from loadtests import plots, series
from loadtests.payloads import FOLDER
from loadtests.records import FINISHED, Found, percentile, seconds
from loadtests.shapes import shape
from loadtests.tables import ledger_table, targets_table
from loadtests.told import machine, refusals
from loadtests.verdict import PAGES, Line, judge, measured, passed

CSS = Path(__file__).with_name("report.css")

LISTED = 50
"""Wrong answers and errors that are shown."""


def write_report(path: Path, found: Found, lines: Sequence[Line], about: Mapping[str, Any]) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
        Where to.
    lines : sequence of Line
        What `loadtests.verdict.judge` has found.
    about : mapping
        What `loadtests.load` says of the run: profile, targets, payload, machine, …
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(found, lines, about), encoding="utf-8")


def page(found: Found, lines: Sequence[Line], about: Mapping[str, Any]) -> str:
    """Give the page as HTML."""
    targets = about["targets"]
    title = f"Load test: {about['profile']}, {targets['shape']}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(CSS.read_text(encoding="utf-8"))),
    )
    body = tag(
        "body",
        tag("header", _verdict(lines), tag("h1", title), tag("p", f"{about['shape_says']}.")),
        tag("p", _payload(about), class_="payload"),
        _tiles(found),
        tag("section", tag("h2", "Over time"), _over_time(found, about), class_="plots"),
        tag("section", tag("h2", "How slow the slowest were"), _slowest(found, about)),
        tag("section", tag("h2", "Targets"), targets_table(lines)),
        tag("section", tag("h2", "What became of the studies"), ledger_table(found)),
        _texts("Wrong answers", found.wrong_answers),
        _texts("Errors", found.errors),
        _texts("Lost studies", found.lost),
        tag("footer", _about(found, about)),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _verdict(lines: Sequence[Line]) -> Html:
    missed = sum(not line.is_met for line in lines)
    if passed(lines):
        return tag("strong", f"Pass: all {len(lines)} targets met", class_="verdict pass")
    return tag("strong", f"Fail: {missed} of {len(lines)} targets missed", class_="verdict fail")


def _payload(about: Mapping[str, Any]) -> str:
    said = str(about["payload"])
    return f"{said[:1].upper()}{said[1:]}. Nothing here is clinical performance."


def _tiles(found: Found) -> Html:
    """Show the few figures that everybody asks for."""
    counted = found.ledger()
    tiles = [("studies answered rightly", f"{counted[FINISHED]} of {counted['arrived']}")]
    for lane in found.lanes():
        values = seconds(found.studies, "findings", lane)
        tiles.append((f"{lane}: findings, p95", _said(values, 0.95)))
    early = seconds(found.studies, "aorta")
    tiles.append(("aorta released, p95", _said(early, 0.95)))
    tiles.append(("arrivals begun late, p99", _said(found.late, 0.99)))
    tiles.append(("requests refused", f"{len(found.refusals)} of {found.asked}"))
    return tag(
        "ul",
        [tag("li", tag("b", value), tag("span", what)) for what, value in tiles],
        class_="tiles",
    )


def _over_time(found: Found, about: Mapping[str, Any]) -> Html:
    targets = about["targets"]
    drawn = shape(
        targets["shape"],
        seconds=targets["seconds"],
        rate=targets["studies_per_second"],
        stat_share=targets["stat_share"],
    )
    most = targets["seconds_at_most"]
    figures = [
        _figure(
            plots.arrivals(found, drawn),
            "Arrivals",
            "Studies by lane, and the rate they were drawn from.",
        ),
        _figure(
            plots.queue(found),
            "Queue",
            "Screenings that wait for a worker, those in its hand, and studies on their way in.",
        ),
        _figure(
            plots.over_time(found, "findings", most),
            "Time to findings",
            "Each study at the moment it was due; from acknowledged to fetched.",
        ),
        _figure(
            plots.over_time(found, "aorta", most),
            "Aorta released",
            "From acknowledged to the event that tells the aorta alone.",
        ),
    ]
    if found.refusals:
        figures.append(
            _figure(
                plots.refusals(found),
                "Refusals",
                "429, 503, 507 and DIMSE's A700: obeyed, and counted apart from errors.",
            )
        )
    return tag("div", figures, class_="grid")


def _slowest(found: Found, about: Mapping[str, Any]) -> Html:
    most = about["targets"]["seconds_at_most"]

    def by_lane(measure: str) -> str:
        return plots.quantiles(
            {lane: seconds(found.studies, measure, lane) for lane in found.lanes()},
            {lane: most.get(lane, {}).get(measure, {}) for lane in found.lanes()},
        )

    ways = {way: seconds(found.studies, way) for way in ("stow", "dimse")}
    pages = {name.replace("_", " "): measured(found, PAGES, name) for name in most[PAGES]}
    page_targets = {name.replace("_", " "): shares for name, shares in most[PAGES].items()}
    figures = [
        _figure(by_lane("findings"), "Time to findings", "Triangles are targets."),
        _figure(by_lane("aorta"), "Aorta released", "Triangles are targets."),
        _figure(
            plots.quantiles(ways, {}),
            "Time to acknowledge",
            "From when a study was due, by the way it came; refusals and late senders are in it.",
        ),
        _figure(
            plots.quantiles(pages, page_targets),
            "Radiologist's pages",
            "As the browser waits for them.",
        ),
    ]
    return tag("div", figures, class_="grid")


def _figure(address: str, title: str, says: str) -> Html:
    return tag(
        "figure",
        tag("figcaption", tag("b", title), " ", tag("span", says)),
        tag("img", src=address, alt=f"{title}. {says}"),
    )


def _texts(title: str, texts: Sequence[str]) -> Html | None:
    """List texts, which are from outside."""
    if not texts:
        return None
    items = [tag("li", plain(text, 240)) for text in texts[:LISTED]]
    return tag("section", tag("h2", f"{title}: {len(texts)}"), tag("ol", items, class_="texts"))


def _about(found: Found, about: Mapping[str, Any]) -> Iterable[Html]:
    targets = about["targets"]
    server = "an embedded server of its own" if about["own_server"] else "a server that was there"
    dimse = "" if about["dimse"] else " No DIMSE listener was named, so everything came by STOW-RS."
    command = f"python -m loadtests.load {about['profile']} --shape {targets['shape']}"
    checks = ", ".join(targets["checks"]) or "all that are installed"
    said = [
        f"{about['begun']}, commit {about['machine']['commit']}; {machine(about)}.",
        f"{command} --seed {about['seed']} --seconds {targets['seconds']:g} "
        f"--rate {targets['studies_per_second']:g}, against {server}.{dimse}",
        f"Checks: {checks}. Refusals: {refusals(found)}.",
        f"Most at once: {series.peak(series.in_hand(found.studies))} in hand, "
        f"{series.peak(series.sending(found.studies))} being sent.",
        "The model is open: arrivals are a Poisson process and wait for no answer, and what a "
        "study takes is counted from when it was due, so a late sender hides nothing. "
        f"Arrivals were begun late by {_said(found.late, 0.5)} (p50), {_said(found.late, 0.99)} "
        f"(p99), {_said(found.late, 1.0)} at most.",
        "A percentile is of the nearest rank: of fewer than 100 values p99 is the slowest.",
    ]
    return [tag("p", text) for text in said]


def _said(values: Sequence[float], share: float) -> str:
    if not values:
        return "none"
    value = percentile(values, share)
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.1f} s"


def main() -> int:
    """Write the report of a run that has been."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.report", description=__doc__)
    parser.add_argument("found", nargs="?", type=Path, default=FOLDER / "found.json")
    parser.add_argument("--report", type=Path, default=FOLDER / "report.html")
    args = parser.parse_args()
    told = json.loads(args.found.read_text(encoding="utf-8"))
    found, about = Found.from_json(told["found"]), told["about"]
    lines = judge(found, about["targets"])
    write_report(args.report, found, lines, about)
    return 0 if passed(lines) else 1


if __name__ == "__main__":
    sys.exit(main())
