"""A TOML table that is read strictly: every key is asked for once, a key left over is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from gateway.exceptions import ManifestError, OneScanError


class TomlTable:
    """One table of a file that an operator writes.

    Parameters
    ----------
    values : mapping
        As tomllib gives it.
    where : str
        Path shown in errors, such as ``liver/pipeline.toml [requires]``.
    error : type of OneScanError
        What is raised.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        where: str,
        *,
        error: type[OneScanError] = ManifestError,
    ) -> None:
        self._values = dict(values)
        self._where = where
        self._error = error

    def refuse(self, message: str) -> NoReturn:
        """Raise the error, naming this table."""
        raise self._error(f"{self._where}: {message}.")

    def text(self, key: str, *, default: str | None = None, one_of: tuple[str, ...] = ()) -> str:
        """Take a string; without a default it must be there."""
        value = self._take(key, str, default)
        if value is None:
            self.refuse(f"{key} is missing")
        if one_of and value not in one_of:
            self.refuse(f"{key} is {value!r}, not one of {', '.join(one_of)}")
        return str(value)

    def optional_text(self, key: str) -> str | None:
        """Take a string that may be absent."""
        value = self._take(key, str, None)
        return None if value is None else str(value)

    def number(self, key: str, *, default: float | None = None) -> float:
        """Take a number; without a default it must be there."""
        value = self.optional_number(key)
        if value is None and default is None:
            self.refuse(f"{key} is missing")
        return float(default if value is None else value)  # type: ignore[arg-type]

    def optional_number(self, key: str) -> float | None:
        """Take a number that may be absent."""
        value = self._take(key, (int, float), None)
        return None if value is None else float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """Take a truth value."""
        return bool(self._take(key, bool, default))

    def texts(
        self, key: str, *, default: tuple[str, ...] | None = None, one_of: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """Take a list of strings."""
        values = self._take(key, list, default)
        if values is None:
            self.refuse(f"{key} is missing")
        for value in values:
            if not isinstance(value, str) or (one_of and value not in one_of):
                self.refuse(f"{key} holds {value!r}, not one of {', '.join(one_of) or 'text'}")
        return tuple(values)

    def numbers(self, key: str) -> tuple[float, ...]:
        """Take a list of numbers that may be absent."""
        values = self._take(key, list, [])
        for value in values:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                self.refuse(f"{key} holds {value!r}, which is no number")
        return tuple(float(value) for value in values)

    def table(self, key: str) -> TomlTable:
        """Take a table that must be there."""
        value = self.optional_table(key)
        if value is None:
            self.refuse(f"the table {key} is missing")
        return value

    def optional_table(self, key: str) -> TomlTable | None:
        """Take a table that may be absent."""
        value = self._take(key, dict, None)
        return (
            None if value is None else TomlTable(value, f"{self._where} [{key}]", error=self._error)
        )

    def tables(self, key: str) -> list[TomlTable]:
        """Take an array of tables that may be absent."""
        values = self._take(key, list, [])
        for value in values:
            if not isinstance(value, dict):
                self.refuse(f"{key} holds {value!r}, which is no table")
        return [
            TomlTable(value, f"{self._where} [[{key}]] {index + 1}", error=self._error)
            for index, value in enumerate(values)
        ]

    def mapping(self, key: str) -> dict[str, Any]:
        """Take a table as it stands, for what is passed on and read elsewhere."""
        value: dict[str, Any] = self._take(key, dict, {})
        return value

    def rest(self) -> dict[str, Any]:
        """Take all that has not been taken, as it stands."""
        values, self._values = self._values, {}
        return values

    def names(self) -> list[str]:
        """List what has not been taken."""
        return list(self._values)

    def done(self) -> None:
        """Refuse what nobody asked for."""
        if self._values:
            self.refuse(f"unknown key {', '.join(sorted(self._values))}")

    def _take(self, key: str, kind: type | tuple[type, ...], default: Any) -> Any:
        if key not in self._values:
            return default
        value = self._values.pop(key)
        wrong_flag = isinstance(value, bool) and kind is not bool
        if wrong_flag or not isinstance(value, kind):
            self.refuse(f"{key} is {value!r}, which is of the wrong type")
        return value
