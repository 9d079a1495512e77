"""A known SOP Instance UID comes again: the same, a revision, or something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg.types.json import Jsonb

from gateway.exceptions import DifferentPixelsError
from gateway.instance import Instance
from gateway.store import audit
from gateway.store.database import Connection

Key = tuple[str, str]
"""Study and SOP Instance UID."""

SamePixels = Callable[[Instance, Instance], bool]
"""Tells, blocking, whether the indexed copy and the new one decode to the same pixels."""

TOLERANCE = 1e-3
"""mm, cosine or HU by which two copies may differ: decimal strings are written anew by some."""

EXACT = ("rows", "columns", "samples_per_pixel", "pixel_padding_value", "pixel_padding_range_limit")
NEAR = (
    "image_position_patient",
    "image_orientation_patient",
    "pixel_spacing",
    "slice_thickness",
    "rescale_slope",
    "rescale_intercept",
)
"""What makes, with the stored values, the same voxels at the same place."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A copy with the same pixels and something else about it."""

    instance: Instance
    changed: dict[str, list[Any]]
    """DICOM keyword → [before, after]; None where it is missing."""


class Known:
    """An instance that is indexed, or about to be."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.attributes = instance.attributes
        """The newest revision's."""
        self.syntaxes = {instance.transfer_syntax_uid}
        """Transfer syntaxes in which it was sent."""

    def is_at(self, instance: Instance) -> bool:
        """Tell whether this is not a copy but the same bytes at the same place."""
        return (self.instance.object_key, self.instance.object_offset) == (
            instance.object_key,
            instance.object_offset,
        )

    def revise(self, copy: Instance, same_pixels: SamePixels) -> Revision | None:
        """Give what a copy changes, or None.

        Raises
        ------
        DifferentPixelsError
            When it is not a copy.
        """
        old = self.instance
        if (old.series_instance_uid, old.sop_class_uid) != (
            copy.series_instance_uid,
            copy.sop_class_uid,
        ):
            raise DifferentPixelsError(
                "This SOP Instance UID is known in another series or as another SOP class."
            )
        if not same_geometry(old, copy):
            raise DifferentPixelsError(
                "This SOP Instance UID is known with another geometry or rescale."
            )
        if not same_pixels(old, copy):
            raise DifferentPixelsError("This SOP Instance UID is known with other pixels.")
        changed = {
            key: [self.attributes.get(key), copy.attributes.get(key)]
            for key in sorted(self.attributes.keys() | copy.attributes.keys())
            if self.attributes.get(key) != copy.attributes.get(key)
        }
        if not changed and copy.transfer_syntax_uid in self.syntaxes:
            return None
        self.attributes = copy.attributes
        self.syntaxes.add(copy.transfer_syntax_uid)
        return Revision(copy, changed)


def same_geometry(old: Instance, new: Instance) -> bool:
    """Tell whether every frame of two copies has the same place, size and HU scale."""
    return len(old.frames) == len(new.frames) and all(
        all(getattr(a, name) == getattr(b, name) for name in EXACT)
        and all(_near(getattr(a, name), getattr(b, name)) for name in NEAR)
        for a, b in zip(old.frames, new.frames, strict=True)
    )


def _near(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    if isinstance(a, tuple):
        return all(abs(x - y) <= TOLERANCE for x, y in zip(a, b, strict=True))
    return bool(abs(a - b) <= TOLERANCE)


async def add_syntaxes(
    connection: Connection, tenant: str, day: date, study: str, known: dict[Key, Known]
) -> None:
    """Fill in the transfer syntaxes in which a study's known instances were sent again."""
    cursor = await connection.execute(
        "SELECT sop_instance_uid, transfer_syntax_uid FROM instance_revisions"
        " WHERE tenant = %s AND day = %s AND study_instance_uid = %s",
        (tenant, day, study),
    )
    for row in await cursor.fetchall():
        if found := known.get((study, row["sop_instance_uid"])):
            found.syntaxes.add(row["transfer_syntax_uid"])


async def add_revisions(
    connection: Connection, tenant: str, days: dict[str, date], revisions: Sequence[Revision]
) -> None:
    """Write revisions, with a line for the audit of each study."""
    if not revisions:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "WITH revised AS ("
            " UPDATE instances SET attributes = %(attributes)s, revision = revision + 1"
            " WHERE tenant = %(tenant)s AND day = %(day)s AND study_instance_uid = %(study)s"
            " AND sop_instance_uid = %(uid)s RETURNING revision)"
            " INSERT INTO instance_revisions (tenant, day, study_instance_uid, sop_instance_uid,"
            " revision, changed, transfer_syntax_uid)"
            " SELECT %(tenant)s, %(day)s, %(study)s, %(uid)s, revision, %(changed)s, %(syntax)s"
            " FROM revised",
            [
                {
                    "tenant": tenant,
                    "day": days[revision.instance.study_instance_uid],
                    "study": revision.instance.study_instance_uid,
                    "uid": revision.instance.sop_instance_uid,
                    "attributes": Jsonb(revision.instance.attributes),
                    "changed": Jsonb(revision.changed),
                    "syntax": revision.instance.transfer_syntax_uid,
                }
                for revision in revisions
            ],
        )
    for study in sorted({revision.instance.study_instance_uid for revision in revisions}):
        uids = [
            r.instance.sop_instance_uid for r in revisions if r.instance.study_instance_uid == study
        ]
        detail = {"sop_instance_uids": uids}
        await audit.record(connection, tenant, "intake", "instance.revised", study, detail)
