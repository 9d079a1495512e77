"""The partners file → `Partners`; strict, since a profile misread sends studies astray."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.exceptions import PartnersError
from gateway.intake.partners import DEFAULT_PARTNER, Network, Partner, Partners
from gateway.intake.remotes import Archive, DicomwebSource, RemoteSource, S3Source
from gateway.intake.stat_rule import RULE_ATTRIBUTES, StatRule
from gateway.review.purposes import MODES
from gateway.settings import Settings
from gateway.store.critical import Care
from gateway.store.queue import LANES
from gateway.store.result_jobs import KINDS
from gateway.store.screenings import EXAM_CONTEXTS
from gateway.toml_table import TomlTable

MAX_AE_CHARACTERS = 16
"""PS3.5, 6.2, VR AE."""

MAX_QUIET_SECONDS = 86_400.0
"""A study that has been quiet for a day is complete."""

MAX_NAME = 64
"""Characters of the name of a person who is asked about critical results."""

MAX_MINUTES = 1440.0
"""Who has a day to answer is not asked about something critical."""

MAX_DAYS = 36_500
"""A century; 0 is for ever."""


def load_partners(settings: Settings) -> Partners:
    """Read the partners file of the settings; nobody where there is none.

    Raises
    ------
    PartnersError
        Naming file, table and key.
    """
    return read_partners(settings.partners) if settings.partners else Partners()


def read_partners(file: Path) -> Partners:
    """Read one partners file.

    Raises
    ------
    PartnersError
        Naming file, table and key.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise PartnersError(f"{file} cannot be read: {reason}.") from None
    except tomllib.TOMLDecodeError as error:
        raise PartnersError(f"{file} is not TOML: {error}.") from None
    root = TomlTable(values, str(file), error=PartnersError)
    made = Partners(
        partners={name: _partner(table, name) for name, table in _named(root, "partners")},
        archives={name: _archive(table, name) for name, table in _named(root, "archives")},
        sources={name: _source(table, name) for name, table in _named(root, "sources")},
        critical={tenant: _care(table) for tenant, table in _named(root, "critical")},
    )
    root.done()
    _refuse_doubles(root, list(made.partners.values()))
    for partner in made.partners.values():
        _check_receiver(root, partner, made)
    return made


def _named(root: TomlTable, key: str) -> Iterator[tuple[str, TomlTable]]:
    outer = root.optional_table(key)
    if outer is not None:
        for name in outer.names():
            yield name, outer.table(name)


def _partner(table: TomlTable, name: str) -> Partner:
    if name == DEFAULT_PARTNER:
        table.refuse(f"{DEFAULT_PARTNER} is the name of the built-in profile")
    quiet_seconds = table.number("quiet_seconds", default=0.0)
    if not 0 <= quiet_seconds <= MAX_QUIET_SECONDS:
        table.refuse(f"quiet_seconds is not between 0 and {MAX_QUIET_SECONDS:.0f}")
    names = table.names()
    partner = Partner(
        name=name,
        tenant=_not_empty(table, "tenant", table.text("tenant", default="default")),
        ae_titles=_ae_titles(table, "ae_titles"),
        called=_ae_titles(table, "called"),
        addresses=_addresses(table),
        keys=table.texts("keys") if "keys" in table.names() else None,
        checks=table.texts("checks") if "checks" in table.names() else None,
        lane=table.text("lane", default="routine", one_of=tuple(LANES)),
        exam_context=table.text("exam_context", default="unknown", one_of=EXAM_CONTEXTS),
        quiet_seconds=quiet_seconds,
        retain_days=_days(table, "retain_days"),
        review=table.text("review", default="single", one_of=MODES),
        results=table.texts("results", default=()),
        send_results_to=table.text("send_results_to") if "send_results_to" in names else None,
        stat=tuple(_rule(rule) for rule in table.tables("stat")),
    )
    table.done()
    if unknown := sorted(set(partner.results) - set(KINDS)):
        table.refuse(f"results holds {unknown[0]!r}; known are {', '.join(KINDS)}")
    if partner.send_results_to is not None and not partner.results:
        table.refuse("send_results_to says nothing without results")
    if partner.checks == ():
        table.refuse("checks is empty; leave it out to mean every check of the modality")
    if not partner.ae_titles and partner.keys is None:
        table.refuse("it has neither ae_titles nor keys, so nobody would ever be meant")
    if (partner.called or partner.addresses) and not partner.ae_titles:
        table.refuse("called and addresses say nothing without ae_titles")
    if partner.review != "single" and partner.keys is None:
        table.refuse("review says nothing without keys, since nobody reviews by DIMSE")
    return partner


def _care(table: TomlTable) -> Care:
    ask = tuple(name.strip() for name in table.texts("ask"))
    minutes = table.number("minutes", default=Care().minutes)
    table.done()
    if not ask or not all(0 < len(name) <= MAX_NAME and name.isprintable() for name in ask):
        table.refuse(f"ask needs names of 1 to {MAX_NAME} characters")
    if not 0 < minutes <= MAX_MINUTES:
        table.refuse(f"minutes is not between 0 and {MAX_MINUTES:.0f}")
    return Care(ask=ask, minutes=minutes)


def _days(table: TomlTable, key: str) -> int | None:
    days = table.optional_number(key)
    if days is None:
        return None
    if days != int(days) or not 0 <= days <= MAX_DAYS:
        table.refuse(f"{key} is no whole number of days between 0 and {MAX_DAYS}")
    return int(days)


def _rule(table: TomlTable) -> StatRule:
    patterns: list[tuple[str, str]] = []
    for name in table.names():
        if any(known.startswith(f"{name}.") for known in RULE_ATTRIBUTES):
            item = table.table(name)  # RequestedProcedureCodeSequence.CodeValue = "…"
            patterns += [(f"{name}.{inner}", item.text(inner)) for inner in item.names()]
        else:
            patterns.append((name, table.text(name)))
    for name, pattern in patterns:
        if name not in RULE_ATTRIBUTES:
            known = ", ".join(sorted(RULE_ATTRIBUTES))
            table.refuse(f"no rule can ask about {name}; known are {known}")
        if not pattern.strip("* "):
            table.refuse(f"the pattern of {name} is empty or matches everything")
    if not patterns:
        table.refuse("the rule is empty and would hold for every study")
    return StatRule(tuple(patterns))


def _ae_titles(table: TomlTable, key: str) -> tuple[str, ...]:
    titles = tuple(title.strip() for title in table.texts(key, default=()))
    for title in titles:
        fits = title.isascii() and title.isprintable() and "\\" not in title
        if not fits or not 0 < len(title) <= MAX_AE_CHARACTERS:
            table.refuse(f"{key} holds {title!r}, which is no AE title")
    return titles


def _addresses(table: TomlTable) -> tuple[Network, ...]:
    networks: list[Network] = []
    for text in table.texts("addresses", default=()):
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            table.refuse(f"addresses holds {text!r}: {error}")
    return tuple(networks)


def _archive(table: TomlTable, name: str) -> Archive:
    tenants = _tenants(table)
    return Archive(name=name, tenants=tenants, raw=table.rest())


def _source(table: TomlTable, name: str) -> RemoteSource:
    tenants = _tenants(table)
    made: RemoteSource
    if "url" in table.names():
        made = DicomwebSource(
            name=name,
            tenants=tenants,
            url=_url(table, "url").rstrip("/"),
            token_file=table.text("token_file", default=""),
        )
    elif "bucket" in table.names():
        made = S3Source(
            name=name,
            tenants=tenants,
            bucket=_not_empty(table, "bucket", table.text("bucket")),
            prefix=table.text("prefix", default=""),
            endpoint=_url(table, "endpoint") if "endpoint" in table.names() else "",
            region=table.text("region", default="us-east-1"),
            access_key_id=table.text("access_key_id", default=""),
            secret_key_file=table.text("secret_key_file", default=""),
        )
        if bool(made.access_key_id) != bool(made.secret_key_file):
            table.refuse("access_key_id and secret_key_file go together")
    else:
        table.refuse("url (DICOMweb) or bucket (S3) is missing")
    table.done()
    return made


def _tenants(table: TomlTable) -> tuple[str, ...]:
    tenants = table.texts("tenants")
    if not tenants:
        table.refuse("tenants is empty, so nobody could name it")
    return tenants


def _url(table: TomlTable, key: str) -> str:
    url = table.text(key)
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query
        if not fits or parts.fragment or parts.username is not None or parts.port == 0:
            raise ValueError
    except ValueError:
        table.refuse(f"{key} is no http or https address without user, query and fragment")
    return url


def _not_empty(table: TomlTable, key: str, value: str) -> str:
    if not value.strip():
        table.refuse(f"{key} is empty")
    return value


def _refuse_doubles(root: TomlTable, partners: list[Partner]) -> None:
    """Refuse two partners that one association or one key could mean."""
    for index, one in enumerate(partners):
        for other in partners[:index]:
            where = f"[partners.{one.name}] and [partners.{other.name}]"
            same_called = not (one.called and other.called) or set(one.called) & set(other.called)
            if (ae := _common(one.ae_titles, other.ae_titles)) and same_called:
                root.refuse(f"{where} both have {ae} in ae_titles")
            if one.tenant != other.tenant:
                continue
            if key := _common(one.keys, other.keys):
                root.refuse(f"{where} both have {key} in keys")
            if one.keys == () and other.keys == ():
                root.refuse(f"{where} both have empty keys, so both mean every key of the tenant")


def _check_receiver(root: TomlTable, partner: Partner, made: Partners) -> None:
    """Refuse results that nobody would receive, or two might."""
    name = partner.send_results_to
    if name is None:
        return
    where = f"[partners.{partner.name}]: send_results_to"
    source = made.sources.get(name)
    receiver = made.archives.get(name) or source
    if receiver is None or isinstance(receiver, S3Source):
        root.refuse(f"{where} names {name}, which is no archive and no source with a url")
    if name in made.archives and source is not None:
        root.refuse(f"{where} names {name}, which is an archive and a source")
    if partner.tenant not in receiver.tenants:
        root.refuse(f"{where} names {name}, which the tenant {partner.tenant} may not use")


def _common(one: tuple[Any, ...] | None, other: tuple[Any, ...] | None) -> Any:
    return next(iter(sorted(set(one or ()) & set(other or ()))), None)
