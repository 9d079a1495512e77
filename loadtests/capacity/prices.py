"""What an hour of a GPU costs: prices.toml, or a file of the user's."""

from __future__ import annotations

from pathlib import Path

from loadtests.capacity.profile import read_toml

HERE = Path(__file__).parent


def read_price(gpu_type: str, name: str = "prices") -> float | None:
    """Read EUR for an hour of a type of GPU; None where the file has no price of it.

    Raises
    ------
    CapacityFileError
        When there is no such file or something in it is wrong.
    """
    table, _ = read_toml(name, HERE)
    prices = {kind: table.number(kind) for kind in table.names()}
    if any(not 0 <= price < float("inf") for price in prices.values()):
        table.refuse("prices are 0 or more")
    return prices.get(gpu_type)
