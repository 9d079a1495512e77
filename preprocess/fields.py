"""Reading the tables of a recipe strictly: each refusal names the key."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from preprocess.exceptions import RecipeError


def table(
    value: Any, where: str, required: Set[str], optional: Set[str] = frozenset()
) -> dict[str, Any]:
    """Give a table that has all required keys and no unknown one."""
    if not isinstance(value, dict):
        raise RecipeError(f"{where} must be a table, not {type(value).__name__}.")
    if unknown := sorted(set(value) - required - optional):
        raise RecipeError(
            f"{where} has the unknown key {unknown[0]!r}; "
            f"known are {', '.join(sorted(required | optional))}."
        )
    if missing := sorted(required - set(value)):
        raise RecipeError(f"{where} lacks the key {missing[0]!r}.")
    return value


def numbers(value: Any, where: str, count: int) -> tuple[float, ...]:
    """Give a list of so many finite numbers."""
    if not isinstance(value, list) or len(value) != count:
        raise RecipeError(f"{where} must be a list of {count} numbers.")
    return tuple(number(item, where) for item in value)


def number(value: Any, where: str) -> float:
    """Give a finite number."""
    if type(value) not in (int, float) or not abs(value) < float("inf"):
        raise RecipeError(f"{where} must be a finite number, not {value!r}.")
    return float(value)


def positive(value: Any, where: str) -> float:
    """Give a finite number above 0."""
    given = number(value, where)
    if given <= 0:
        raise RecipeError(f"{where} must be above 0; it is {given}.")
    return given


def not_negative(value: Any, where: str) -> float:
    """Give a finite number that is 0 or more."""
    given = number(value, where)
    if given < 0:
        raise RecipeError(f"{where} must not be below 0; it is {given}.")
    return given


def whole(value: Any, where: str, *, least: int, most: int) -> int:
    """Give a whole number between two others."""
    if type(value) is not int or not least <= value <= most:
        raise RecipeError(f"{where} must be a whole number from {least} to {most}, not {value!r}.")
    return value


def wholes(value: Any, where: str, *, least: int, most: int) -> tuple[int, int, int]:
    """Give three whole numbers in axis order."""
    if not isinstance(value, list) or len(value) != 3:
        raise RecipeError(f"{where} must be a list of 3 whole numbers.")
    s, r, c = (whole(item, where, least=least, most=most) for item in value)
    return s, r, c


def flag(value: Any, where: str) -> bool:
    """Give true or false."""
    if not isinstance(value, bool):
        raise RecipeError(f"{where} must be true or false, not {value!r}.")
    return value


def text(value: Any, where: str) -> str:
    """Give a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise RecipeError(f"{where} must be a name.")
    return value


def names(value: Any, where: str, *, least: int = 0) -> tuple[str, ...]:
    """Give a list of different names, at least so many."""
    if not isinstance(value, list):
        raise RecipeError(f"{where} must be a list of names.")
    given = tuple(text(item, where) for item in value)
    if len(given) < least or len(set(given)) != len(given):
        raise RecipeError(f"{where} must be {least} or more different names.")
    return given


def labels(value: Any, where: str) -> tuple[str, ...]:
    """Give the names of a label map, by value; the first is the background."""
    if not isinstance(value, list):
        raise RecipeError(f"{where} must be a list of names.")
    given = tuple(text(item, where) for item in value)
    if not 2 <= len(given) <= 256 or len(set(given)) != len(given):
        raise RecipeError(f"{where} must be 2 to 256 different names.")
    return given


def among(chosen: tuple[str, ...], known: tuple[str, ...], where: str) -> None:
    """Refuse a name that is not a label of the finding's own map."""
    for name in chosen:
        if name not in known[1:]:
            raise RecipeError(f"{where} names {name!r}, which is not one of its labels.")
