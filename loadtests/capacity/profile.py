"""When studies come, of which lane and size, and how soon their results are wanted: a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.exceptions import CapacityFileError
from gateway.toml_table import TomlTable

LANES = ("stat", "routine", "backfill")
"""As `gateway.store.queue.LANES`, the most urgent first; a test holds the two together."""

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

HERE = Path(__file__).parent / "profiles"

LARGEST = 1e12
"""Of any number in a file; no figure of ours comes near it."""


@dataclass(frozen=True, slots=True)
class LaneProfile:
    """One lane of a day."""

    share: float
    """Of the day's studies."""

    hourly: tuple[float, ...]
    """24 relative rates, from midnight on."""

    p95_seconds: float
    """Target: from the acceptance of the order to its result, of 95 % of the studies."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A day."""

    name: str
    title: str
    source: str
    weekday: str
    """The day that is simulated."""

    factor: float
    """That day's studies ÷ studies of a mean working day."""

    spread: float
    """Standard deviation ÷ mean of the work of a study; lognormal."""

    lanes: dict[str, LaneProfile]

    def peak_rate(self, studies_per_day: float) -> float:
        """Studies per second in the busiest hour, of all lanes but backfill together."""
        urgent = [lane for name, lane in self.lanes.items() if name != "backfill"]
        urgent = urgent or list(self.lanes.values())
        hours = [
            sum(lane.share * lane.hourly[hour] / sum(lane.hourly) for lane in urgent)
            for hour in range(24)
        ]
        return studies_per_day * self.factor * max(hours) / 3600


def read_profile(name: str) -> Profile:
    """Read a profile that comes with OneScan, by its name, or a file.

    Raises
    ------
    CapacityFileError
        When there is no such file or something in it is wrong.
    """
    return parse_profile(*read_toml(name, HERE))


def read_toml(name: str, folder: Path) -> tuple[TomlTable, str]:
    """Read a TOML file of a folder of ours by its name, or of anywhere by its path."""
    kept = folder / f"{name}.toml"
    path = kept if "/" not in name and kept.is_file() else Path(name)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml")))
        raise CapacityFileError(f"{name} is no file, and none of {known}.")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CapacityFileError(f"{path.name}: {error}.") from None
    table = TomlTable(values, path.name, error=CapacityFileError)
    if not _finite(values):
        table.refuse("a number is not finite, or beyond 1e12")
    return table, path.stem


def _finite(value: Any) -> bool:
    """Whether all numbers, at any depth, are such that one can reckon with."""
    if isinstance(value, dict):
        return all(_finite(one) for one in value.values())
    if isinstance(value, list):
        return all(_finite(one) for one in value)
    return not isinstance(value, (int, float)) or abs(value) <= LARGEST


def parse_profile(table: TomlTable, name: str) -> Profile:
    """Read a profile from its table, strictly."""
    title, source = table.text("title"), table.text("source")
    weekday = table.text("weekday", one_of=WEEKDAYS)
    factors = table.table("weekdays")
    by_day = {day: factors.number(day, default=1.0) for day in WEEKDAYS}
    factors.done()
    spread = table.number("spread")
    lanes_table = table.table("lanes")
    lanes = {}
    for lane in LANES:
        one = lanes_table.optional_table(lane)
        if one is None:
            continue
        hourly = one.numbers("hourly")
        share, target = one.number("share"), one.number("p95_seconds")
        if len(hourly) != 24 or min(hourly) < 0 or sum(hourly) <= 0:
            one.refuse("hourly is not 24 rates of 0 or more, one of them above 0")
        if not 0 <= share <= 1 or target <= 0:
            one.refuse("share is from 0 to 1, p95_seconds above 0")
        one.done()
        lanes[lane] = LaneProfile(share, hourly, target)
    lanes_table.done()
    table.done()
    if abs(sum(lane.share for lane in lanes.values()) - 1) > 1e-6:
        table.refuse("the shares of the lanes do not sum up to 1")
    if not 0 <= spread <= 5 or not 0 < by_day[weekday] <= 10:
        table.refuse("spread is from 0 to 5, a weekday's factor above 0 and at most 10")
    return Profile(name, title, source, weekday, by_day[weekday], spread, lanes)
