"""Write one volume series of a study, with the faults a test asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian

from networks.phantoms.acquire import Acquisition
from networks.phantoms.header import StudyHeader
from networks.phantoms.instance_writer import ct_instance, save
from networks.phantoms.multiframe_writer import ENHANCED, LEGACY, write_multiframe
from networks.phantoms.planes import plane_geometry


@dataclass(frozen=True, kw_only=True)
class SeriesFaults:
    """What is wrong with a series on purpose; the default is nothing."""

    drop_slices: tuple[int, ...] = ()
    """Planes left out, 0-based in writing order."""

    duplicate_slices: tuple[int, ...] = ()
    """Planes written twice, the second time under another SOP Instance UID."""

    mixed_orientation: bool = False
    """Give the middle slice another orientation."""

    rescale_slope: float = 1.0
    """(0028,1053)."""


def write_series(
    folder: Path,
    scan: Acquisition,
    header: StudyHeader,
    *,
    series_number: int,
    description: str,
    kvp: float = 120.0,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    enhanced: bool | str = False,
    faults: SeriesFaults | None = None,
) -> dict[str, Any]:
    """Write a scan as one CT series and return what was written.

    Parameters
    ----------
    folder : Path
        Takes ``0001.dcm`` and so on.
    scan : Acquisition
        The volume.
    header : StudyHeader
        The study it belongs to.
    enhanced : bool or str
        False for single-frame CT Image Storage, True or "enhanced" for Enhanced CT Image Storage,
        "legacy" for Legacy Converted Enhanced CT Image Storage.

    Returns
    -------
    dict
        Series Instance UID, kernel, geometry and number of instances, for truth.json.

    Raises
    ------
    ValueError
        For an unknown `enhanced`, or a mixed orientation asked of a multi-frame instance.
    """
    faults = faults or SeriesFaults()
    if enhanced not in (False, True, ENHANCED, LEGACY):
        raise ValueError(f"enhanced must be False, True, 'enhanced' or 'legacy', not {enhanced!r}")
    geometry = plane_geometry(scan, header.position)
    count = len(geometry.order)
    planes = [n for n in range(count) if n not in faults.drop_slices]
    planes += [n for n in faults.duplicate_slices if 0 <= n < count]
    series_uid = header.uid("series", series_number)
    if enhanced:
        if faults.mixed_orientation:
            raise ValueError("one multi-frame instance cannot have a mixed orientation here")
        kind = LEGACY if enhanced == LEGACY else ENHANCED
        write_multiframe(
            folder / "0001.dcm", header, scan, geometry, planes, kind=kind,
            series_number=series_number, description=description, slope=faults.rescale_slope,
            kvp=kvp, transfer_syntax_uid=transfer_syntax_uid,
        )  # fmt: skip
        instances = 1
    else:
        for number, n in enumerate(planes, start=1):
            tipped = faults.mixed_orientation and n == count // 2
            ds = ct_instance(
                header, scan, geometry, n, series_uid=series_uid, series_number=series_number,
                description=description, slope=faults.rescale_slope, kvp=kvp,
                orientation=np.array([1.0, 0, 0, 0, 0, -1.0]) if tipped else None,
            )  # fmt: skip
            if n in planes[: number - 1]:
                ds.SOPInstanceUID = header.uid("duplicate", series_number, number)
                ds.InstanceNumber = number
            save(ds, folder / f"{number:04d}.dcm", transfer_syntax_uid)
        instances = len(planes)
    return {
        "series_instance_uid": str(series_uid),
        "instances": instances,
        "planes": len(planes),
        "shape": [int(n) for n in scan.hu.shape],
        "affine": scan.affine.tolist(),
        "thickness_mm": scan.thickness_mm,
        "increment_mm": scan.spacing_mm[0],
        "pixel_mm": scan.spacing_mm[1],
        "kernel": scan.kernel,
        "convolution_kernel": list(header.profile.kernels[scan.kernel]),
        "bias_hu": round(scan.bias_hu, 3),
        "transfer_syntax_uid": str(transfer_syntax_uid),
        "multiframe": enhanced if isinstance(enhanced, str) else ENHANCED if enhanced else None,
    }
