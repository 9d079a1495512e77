"""``onescan pool capacity``: how many GPUs for so many studies a day, by simulation."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rich import box
from rich.table import Table

from gateway.commands.output import as_json
from gateway.commands.table import report_console

ABSENT = "–"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--studies-per-day", type=float, required=True, metavar="N")
    parser.add_argument(
        "--profile",
        default="national",
        metavar="FILE",
        help="when studies come: national (default), hospital, backfill, or a TOML file",
    )
    parser.add_argument(
        "--gpu",
        default="h200",
        metavar="TYPE",
        help="what a study costs: h200 (default), mig-1g.18gb, cpu, or a TOML file",
    )
    parser.add_argument("--prices", default="prices", metavar="FILE", help="EUR per GPU-hour")
    parser.add_argument("--cluster", default="cluster", metavar="FILE", help="zones and start-up")
    parser.add_argument("--seed", type=int, default=1, help="of the day (%(default)s)")
    parser.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print one JSON object, nothing else",
    )


def capacity(args: argparse.Namespace) -> int:
    """Search, simulate and print; 1 when no policy keeps every target."""
    from loadtests.capacity.answer import Question, answer

    if sys.stderr.isatty() and not args.json:
        print("Trying policies; a day of a million studies takes minutes.", file=sys.stderr)
    found = answer(
        Question(
            studies_per_day=args.studies_per_day,
            profile=args.profile,
            gpu=args.gpu,
            prices=args.prices,
            cluster=args.cluster,
            seed=args.seed,
        )
    )
    shown = found.as_json()
    if args.json:
        sys.stdout.write(as_json(shown))
    else:
        print_answer(shown)
    return 0 if found.met else 1


def print_answer(shown: dict[str, Any]) -> None:
    """Print what was found as tables, then the chart's values."""
    console = report_console()
    console.print(f"{shown['studies_per_day']:,.0f} studies a day. {shown['profile']['title']}.")
    console.print(
        f"{shown['cost']['title']}: {shown['cost']['seconds_per_study']:g} s of a busy pod."
    )
    for part in ("profile", "cost"):
        console.print(shown[part]["source"], style="dim")
    for table in (_days(shown), _lanes(shown)):
        console.print(table)
    if shown["eur_per_gpu_hour"] is None:
        console.print("No price is known for this GPU; give one with --prices.", style="yellow")
    if not shown["met"]:
        console.print("No policy that was tried keeps every target; this comes closest.")
    console.print(
        f"The cheapest of {shown['policies_tried']} policies; values for the chart"
        " (put the pool's GPU and the time zone in):"
    )
    print("\n".join(as_yaml(shown["values"])))


def as_yaml(values: dict[str, Any], indent: int = 0) -> list[str]:
    """Write nested maps of numbers, texts and truths as YAML's lines."""
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += [f"{' ' * indent}{key}:", *as_yaml(value, indent + 2)]
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if isinstance(value, str) and ("*" in value or value.isdigit()):
                text = f'"{value}"'
            lines.append(f"{' ' * indent}{key}: {text}")
    return lines


DAYS = {
    "day": "a day without faults",
    "zone_lost": "a zone lost in the busiest hour",
    "twice_the_cost": "a model version of twice the cost",
}


def _days(shown: dict[str, Any]) -> Table:
    table = _table("The day")
    for heading in ("", "pods", "most", "api pods", "queue", "GPU-h held", "busy", "EUR/1000"):
        table.add_column(heading, justify="right" if heading else "left")
    for key, title in DAYS.items():
        day = shown[key]
        cost = day["eur_per_thousand"]
        table.add_row(
            title,
            f"{day['pods_mean']:.1f}",
            str(day["pods_most"]),
            str(day["api_pods_most"]),
            f"{day['queue_most']:,}",
            f"{day['gpu_hours']:,.1f}",
            f"{day['gpu_hours_busy'] / day['gpu_hours']:.0%}" if day["gpu_hours"] else ABSENT,
            ABSENT if cost is None else f"{cost:,.2f}",
        )
    return table


def _lanes(shown: dict[str, Any]) -> Table:
    table = _table("Seconds from an order to its result")
    for heading in ("", "lane", "studies", "p50", "p95", "slowest", "target p95"):
        table.add_column(heading, justify="left" if heading in ("", "lane") else "right")
    for key, title in DAYS.items():
        for lane, one in shown[key]["lanes"].items():
            late = one["p95_seconds"] > one["target_seconds"]
            table.add_row(
                title,
                lane,
                f"{one['studies']:,}",
                f"{one['p50_seconds']:,.1f}",
                f"{one['p95_seconds']:,.1f}" + (" LATE" if late else ""),
                f"{one['most_seconds']:,.1f}",
                f"{one['target_seconds']:,.0f}",
            )
            title = ""
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
