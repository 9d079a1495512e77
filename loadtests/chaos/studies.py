"""The phantoms of a run: one healthy, one with a finding, and poison; each sent with fresh UIDs."""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path
from random import Random

import pydicom

from loadtests.chaos.models import POISON_HU
from loadtests.fresh import BOUNDARY, Template
from networks.phantoms.study import make_study

FINDINGS = {"healthy": (), "fatty": ("fatty_liver_moderate",)}
"""Template → what is planted; only ``liver`` is asked for."""

POISON = "poison"

MATRIX = 128

INCREMENT_MM = 5.0

SLICES = 56
"""Around the upper abdomen: liver and spleen are whole."""

SEED = 7

GROUP_2_LENGTH_AT = 140
"""PS3.10, 7.1: preamble, DICM, tag, VR and length of (0002,0000); then its value."""

SOP_INSTANCE_UID = b"\x02\x00\x03\x00UI"
"""(0002,0003) Media Storage SOP Instance UID."""


def templates(folder: Path) -> dict[str, Template]:
    """Read the phantoms; those that are not there are made, in seconds."""
    made = {}
    for name, findings in FINDINGS.items():
        where = folder / _called(name)
        if not (where / "truth.json").exists():
            print(f"Making the phantom {name} ...", file=sys.stderr, flush=True)
            shutil.rmtree(where, ignore_errors=True)
            make_study(
                where,
                seed=SEED,
                findings=findings,
                matrix=MATRIX,
                increment_mm=INCREMENT_MM,
                slices=SLICES,
                series=("thin",),
            )
        made[name] = Template.read(name, where)
    where = folder / _called(POISON)
    if not where.exists():
        _poison(folder / _called("healthy"), where)
    made[POISON] = Template.read(POISON, where)
    return made


def fresh(template: Template, seed: int) -> tuple[str, bytes]:
    """Give a Study Instance UID and its STOW body; the same ones for the same seed."""
    return template.fresh(Random(seed))


def parts(body: bytes) -> list[bytes]:
    """Take a STOW body apart into its files."""
    pieces = body.split(f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode())[1:]
    end = f"--{BOUNDARY}--\r\n".encode()
    return [piece.removesuffix(end).removesuffix(b"\r\n") for piece in pieces]


def data_set(file: bytes) -> tuple[str, bytes]:
    """Give what C-STORE needs of a file: SOP Instance UID and data set."""
    (length,) = struct.unpack_from("<I", file, GROUP_2_LENGTH_AT)
    at = file.index(SOP_INSTANCE_UID) + len(SOP_INSTANCE_UID)
    (size,) = struct.unpack_from("<H", file, at)
    uid = file[at + 2 : at + 2 + size].rstrip(b"\0").decode()
    return uid, file[GROUP_2_LENGTH_AT + 4 + length :]


def _called(name: str) -> str:
    return f"{name}-{MATRIX}-{INCREMENT_MM:g}-{SLICES}"


def _poison(healthy: Path, folder: Path) -> None:
    """Make the first voxel of every slice denser than any patient is."""
    new = folder.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(healthy, new)
    for path in new.rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        pixels = ds.pixel_array.copy()
        stored = (POISON_HU + 50 - float(ds.RescaleIntercept)) / float(ds.RescaleSlope)
        pixels[0, 0] = round(stored)
        ds.PixelData = pixels.tobytes()
        ds.save_as(path)
    new.rename(folder)
