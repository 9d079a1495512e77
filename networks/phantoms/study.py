"""Make a whole phantom study: anatomy, HU, scans, DICOM series and the truth about them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian

from networks.phantoms.acquire import Acquisition, acquire
from networks.phantoms.anatomy import Anatomy, sample_anatomy
from networks.phantoms.artefacts import draw_artefacts
from networks.phantoms.clinical import draw_chart
from networks.phantoms.detectability import Judge
from networks.phantoms.findings import Planted, plant
from networks.phantoms.header import POSITIONS, StudyHeader, UidMaker
from networks.phantoms.hu import PHASES, tissue_hu
from networks.phantoms.instance_writer import write_dose_screen, write_localizer
from networks.phantoms.lesions import CHECKS
from networks.phantoms.paint import paint_labels
from networks.phantoms.planting import plant_confounders, plant_findings
from networks.phantoms.profiles import profile_named
from networks.phantoms.scene import Scene
from networks.phantoms.series_writer import SeriesFaults, write_series
from networks.phantoms.truth import save_masks, truth_of

SERIES = ("scout", "thick", "thin", "sharp", "dose")
"""Kinds of series a study can hold: localizer, 5 mm soft, thin soft, thin lung kernel, and a
Secondary Capture screen that says it is CT."""

THICK_MM = 5.0
"""Thickness and increment of the thick series."""

UPPER_ABDOMEN_MM = 0.0
"""Body z at the middle of a scan that holds fewer slices than the phantom."""

NOT_IN_UIDS = ("out", "name", "save_labels", "save_lesions")
"""Arguments that leave the instances as they are; all others go into the UIDs."""

CHART = "clinical.json"
"""Blood values and a report beside a study with liver disease, as ``onescan screen --clinical``
reads them."""

AGENT = "Iohexol 300 mgI/mL"
"""(0018,0010) of a contrast phase."""


def make_study(
    out: Path,
    *,
    seed: int,
    findings: Sequence[str] = (),
    difficulty: str = "medium",
    confounders: bool = True,
    phase: str = "native",
    pdff_percent: float | None = None,
    profile: str | None = None,
    vendor: str | None = None,
    matrix: int = 512,
    slices: int | None = None,
    increment_mm: float = 1.0,
    thickness_mm: float | None = None,
    series: Sequence[str] | None = None,
    kernel: str = "soft",
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    enhanced: bool | str = False,
    patient_age: str | None = None,
    contrast_agent: str | None = None,
    kvp: float | None = None,
    tilt_degrees: float = 0.0,
    position: str = "HFS",
    fov_mm: float | None = None,
    dose: float = 1.0,
    artefacts: Sequence[str] = (),
    drop_slices: Sequence[int] = (),
    duplicate_slices: Sequence[int] = (),
    mixed_orientation: bool = False,
    rescale_slope: float = 1.0,
    anatomy_spacing_mm: float | None = None,
    save_labels: bool = False,
    save_lesions: bool = False,
) -> dict[str, Any]:
    """Write a phantom study and ``truth.json`` into a folder, with `CHART` for an ill liver.

    Parameters
    ----------
    out : Path
        Folder; made if need be. Each series gets a folder of its own in it.
    seed : int
        Patient, scanner (unless given), noise and UIDs.
    findings : sequence of str
        Of `networks.phantoms.findings.finding_names`: kinds, or checks for any of their kinds; none
        is a healthy patient.
    difficulty : str
        easy, medium or hard, for an ideal observer on the thin series; truth.json says what came of
        it.
    confounders : bool
        Plant one of each check that has no finding.
    phase : str
        native, arterial, venous or delayed.
    pdff_percent : float, optional
        Fat fraction of the liver, over what the findings say.
    profile : str, optional
        A name in `networks.phantoms.profiles.PROFILES`.
    vendor : str, optional
        One of `networks.phantoms.profiles.VENDORS`; the seed chooses the model.
    matrix : int
        Rows and columns.
    slices : int, optional
        Slices of the thin series, centred on the upper abdomen; all the phantom holds by default.
    increment_mm, thickness_mm : float
        Of the thin and sharp series; the thickness is the increment by default.
    series : sequence of str, optional
        Of `SERIES`, in the order they are numbered; scout and thin by default, and thick between
        them when there are findings.
    kernel : str
        Kernel class of the thin series.
    transfer_syntax_uid : str
        Of all series but scout and dose screen.
    enhanced : bool or str
        True or "enhanced" for Enhanced CT, "legacy" for Legacy Converted Enhanced CT.
    patient_age : str, optional
        (0010,1010) over the patient's own; "" leaves age and birth date out.
    contrast_agent : str, optional
        (0018,0010) over what the phase implies; "" leaves it out.
    kvp : float, optional
        Over the profile's.
    tilt_degrees : float
        Gantry tilt, written as sheared slices.
    position : str
        HFS, HFP, FFS or FFP. Prone patients lie on their front.
    fov_mm : float, optional
        Reconstruction diameter; one that holds the patient by default.
    dose : float
        Against the standard.
    artefacts : sequence of str
        Of `networks.phantoms.artefacts.ARTEFACTS`.
    drop_slices, duplicate_slices : sequence of int
        Slices (0-based, in writing order) of the volume series left out or written twice.
    mixed_orientation : bool
        Give one slice of the volume series another orientation.
    rescale_slope : float
        Written as (0028,1053); 0 spoils the series on purpose.
    anatomy_spacing_mm : float, optional
        Voxel edge of the phantom itself; 2 mm from 256 columns on, 3 mm below, by default.
    save_labels : bool
        Also write ``labels.npz`` with the organ map and its affine.
    save_lesions : bool
        Also write ``lesions.npz`` with the mask of each lesion on its own grid.

    Returns
    -------
    dict
        What ``truth.json`` holds.

    Raises
    ------
    ValueError
        For a name that does not exist or a value out of range, with what there is; as
        `NoPlaceError` when the patient has no place for a finding.
    """
    if series is None:
        series = ("scout", "thick", "thin") if findings else ("scout", "thin")
    for name in series:
        if name not in SERIES:
            raise ValueError(f"no series {name!r}; there are {', '.join(SERIES)}")
    if position not in POSITIONS:
        raise ValueError(f"position must be one of {', '.join(POSITIONS)}, not {position!r}")
    if phase not in PHASES:
        raise ValueError(f"phase must be one of {', '.join(PHASES)}, not {phase!r}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, not {seed}")
    arguments = {key: value for key, value in locals().items() if key not in NOT_IN_UIDS}
    planted = plant(findings, pdff_percent, seed)
    scanner = profile_named(profile, seed, vendor=vendor)
    voltage = scanner.kvp if kvp is None else kvp
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence([seed, 1]).spawn(3)]

    spacing = anatomy_spacing_mm or (2.0 if matrix >= 256 else 3.0)
    anatomy = _anatomy(seed, spacing, position.endswith("P"), planted.fibrosis_stage)
    table = tissue_hu(
        anatomy.patient, streams[0], phase=phase, pdff_percent=planted.pdff_percent, kvp=voltage
    )
    hu = paint_labels(anatomy.labels, table, streams[1], spacing_mm=spacing)
    thin = thickness_mm or increment_mm
    low, high = _range(anatomy.affine, anatomy.labels.shape[0], slices, increment_mm,
                       anatomy.patient.size[0])  # fmt: skip
    scene = Scene(anatomy, table, hu)
    judge = Judge.of(
        scene, scanner, kernel=kernel, thickness_mm=thin, increment_mm=increment_mm, dose=dose,
        first_slice_mm=low,
    )  # fmt: skip
    kinds = plant_findings(
        scene, planted.wanted, seed, difficulty=difficulty, judge=judge, range_mm=(low, high)
    )
    if confounders:
        plant_confounders(scene, _without(planted), seed, judge=judge)
    wrong = draw_artefacts(artefacts, scene, seed) if artefacts else None
    if "truncation" in artefacts and fov_mm is None:
        fov_mm = _narrow_fov_mm(scene)
    header = StudyHeader(
        seed=seed,
        uid=UidMaker("onescan-phantom", seed, sorted((k, repr(v)) for k, v in arguments.items())),
        patient=anatomy.patient,
        profile=scanner,
        patient_age=f"{anatomy.patient.age_years:03d}Y" if patient_age is None else patient_age,
        position=position,
        phase=phase,
        contrast_agent=(
            contrast_agent if contrast_agent is not None else "" if phase == "native" else AGENT
        ),
    )
    out.mkdir(parents=True, exist_ok=True)
    written: list[dict[str, Any]] = []
    scan: Acquisition | None = None
    for number, kind in enumerate(series, start=1):
        folder = out / f"{number}_{kind}"
        folder.mkdir(exist_ok=True)
        noise = np.random.default_rng([seed, 2, SERIES.index(kind)])
        if kind in ("scout", "dose"):
            path = folder / "0001.dcm"
            ds = (
                write_localizer(path, header, hu, anatomy.affine, series_number=number)
                if kind == "scout"
                else write_dose_screen(path, header, series_number=number)
            )
            written.append(
                {"kind": kind, "series_instance_uid": str(ds.SeriesInstanceUID), "instances": 1,
                 "folder": folder.name}
            )  # fmt: skip
            continue
        step, thick = (THICK_MM, THICK_MM) if kind == "thick" else (increment_mm, thin)
        count = int((high - low) / step + 1e-6) + 1
        scan = acquire(
            hu, anatomy.affine, scanner, noise,
            kernel={"thick": "soft", "sharp": "sharp"}.get(kind, kernel), matrix=matrix,
            fov_mm=fov_mm, thickness_mm=thick, increment_mm=step, slices=count,
            first_slice_mm=low, tilt_degrees=tilt_degrees, dose=dose, lesions=scene.lesions,
            artefacts=wrong,
        )  # fmt: skip
        written.append(
            {"kind": kind, "folder": folder.name}
            | write_series(
                folder, scan, header, series_number=number, kvp=voltage, enhanced=enhanced,
                description=f"{kind} {thick:g} mm {'/'.join(scanner.kernels[scan.kernel])}",
                transfer_syntax_uid=transfer_syntax_uid,
                faults=SeriesFaults(
                    drop_slices=tuple(drop_slices), duplicate_slices=tuple(duplicate_slices),
                    mixed_orientation=mixed_orientation, rescale_slope=rescale_slope,
                ),
            )
        )  # fmt: skip
    truth = truth_of(
        scene, (*planted.findings, *kinds), planted.pdff_percent, header, kvp=voltage,
        range_mm=(low - thin / 2, high + thin / 2), scan=scan, series=written,
    )  # fmt: skip
    if save_labels:
        np.savez_compressed(
            out / "labels.npz", labels=anatomy.organ_labels(), affine=anatomy.affine
        )
    if save_lesions:
        save_masks(out / "lesions.npz", scene.lesions)
    if planted.has_liver_disease:
        chart = draw_chart(
            np.random.default_rng([seed, 9]), anatomy.patient, planted.pdff_percent,
            planted.fibrosis_stage,
        )  # fmt: skip
        told = json.dumps(chart.inputs(), indent=2, ensure_ascii=False) + "\n"
        (out / CHART).write_text(told, encoding="utf-8")
    text = json.dumps(truth, indent=2) + "\n"
    (out / "truth.json").write_text(text, encoding="utf-8")
    return dict(json.loads(text))


def _without(planted: Planted) -> list[str]:
    """Return the checks that have no finding."""
    ill = {want.check for want in planted.wanted} | ({"liver"} if planted.findings else set())
    return [check for check in CHECKS if check not in ill]


def _narrow_fov_mm(scene: Scene) -> float:
    """Return a field of view that cuts off a tenth of the body on each side."""
    across = np.flatnonzero((scene.hu[:: max(1, len(scene.hu) // 9)] > -400).any(axis=(0, 1)))
    return 0.8 * float(np.ptp(across)) * scene.spacing_mm


@lru_cache(maxsize=2)
def _anatomy(seed: int, spacing_mm: float, prone: bool, fibrosis_stage: int) -> Anatomy:
    """Keep the last anatomies: variants of one study are often written in a row."""
    anatomy = sample_anatomy(
        seed, spacing_mm=spacing_mm, prone=prone, fibrosis_stage=fibrosis_stage
    )
    anatomy.labels.flags.writeable = False
    return anatomy


def _range(
    affine: np.ndarray, count: int, slices: int | None, increment_mm: float, size: float
) -> tuple[float, float]:
    """Return the z of the first and last slice, patient mm."""
    spacing = float(affine[2, 0])
    bottom, top = float(affine[2, 3]), float(affine[2, 3]) + spacing * (count - 1)
    most = int((top - bottom) // increment_mm) + 1
    if slices is None:
        slices = most
    if not 1 <= slices <= most:
        raise ValueError(
            f"slices must lie between 1 and {most} at {increment_mm:g} mm, not {slices}"
        )
    length = (slices - 1) * increment_mm
    low = float(np.clip(UPPER_ABDOMEN_MM * size - length / 2, bottom, top - length))
    return low, low + length
