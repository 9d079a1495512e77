"""Scanner models that a phantom can be acquired on, each with its vendor's dialect of DICOM.

The names stand for a way of filling in headers and a set of physical parameters;
they say nothing about the real devices.
"""

from __future__ import annotations

from dataclasses import dataclass

KERNELS = ("soft", "standard", "sharp")
"""Classes of reconstruction kernel."""

MTF_FWHM_MM = {"soft": 1.1, "standard": 0.8, "sharp": 0.5}
"""In-plane full width of the point spread by kernel class, mm (pipelines.md §6.4)."""

NPS_CUTOFF_PER_MM = {"soft": 0.32, "standard": 0.45, "sharp": 0.9}
"""f0 of the noise amplitude √f·exp(−(f/f0)²) by kernel class, 1/mm (pipelines.md §6.4)."""

NOISE_SD_AT_5_MM_HU = {"soft": 9.0, "standard": 12.0, "sharp": 45.0}
"""Noise SD in HU at 5 mm thickness, by kernel class (pipelines.md §6.4)."""

EDGE_ENHANCEMENT = {"soft": 0.0, "standard": 0.0, "sharp": 0.6}
"""Share of an unsharp mask added by kernel class; lung kernels overshoot at edges."""


VENDORS = ("GE", "SIEMENS", "PHILIPS", "CANON", "UIH")
"""Vendors of which there are profiles."""


@dataclass(frozen=True, kw_only=True)
class ScannerProfile:
    """One scanner model: how its images look and how it writes them."""

    name: str
    """Short key, lower case."""

    vendor: str
    """One of `VENDORS`."""

    manufacturer: str
    model: str
    software: str
    kernels: dict[str, tuple[str, ...]]
    """*Convolution Kernel* strings by kernel class."""

    bias_hu: float
    """Systematic HU error of the model; drift between scans is added. Together within ±3 HU."""

    noise_scale: float = 1.0
    """Noise against `NOISE_SD_AT_5_MM_HU`."""

    sharpness: float = 1.0
    """Point-spread width against `MTF_FWHM_MM`."""

    cupping_hu: float = 0.0
    """HU missing in the centre of the field."""

    kvp: float = 120.0
    bits_stored: int = 12
    pixel_representation: int = 0
    """0 unsigned, 1 two's complement; always 16 bits allocated."""

    rescale_intercept: float = -1024.0
    padding_stored: int | None = None
    """Stored value outside the reconstruction circle; None writes air."""

    padding_declared: int | None = None
    """(0028,0120) *Pixel Padding Value*, which need not be what is stored."""

    character_set: str = "ISO_IR 100"
    private_creator: str | None = None
    private_group: int = 0x0009
    multi_valued_kernel: bool = False
    unseen: bool = False
    """Kept for tests: never used in training."""


PROFILES: dict[str, ScannerProfile] = {
    profile.name: profile
    for profile in (
        ScannerProfile(
            name="ge_revolution",
            vendor="GE",
            manufacturer="GE MEDICAL SYSTEMS",
            model="Revolution CT",
            software="revo_ct_22bc.50",
            kernels={"soft": ("SOFT",), "standard": ("STANDARD",), "sharp": ("LUNG",)},
            bias_hu=0.8,
            noise_scale=0.95,
            bits_stored=16,
            pixel_representation=1,
            padding_stored=-976,  # -2000 HU
            padding_declared=-2000,
            private_creator="GEMS_IDEN_01",
        ),
        ScannerProfile(
            name="siemens_force",
            vendor="SIEMENS",
            manufacturer="SIEMENS",
            model="SOMATOM Force",
            software="syngo CT VB20A",
            kernels={"soft": ("Br36d", "3"), "standard": ("Br40d", "3"), "sharp": ("Bl57d", "3")},
            bias_hu=-0.6,
            noise_scale=0.85,
            sharpness=0.95,
            multi_valued_kernel=True,
            private_creator="SIEMENS CT VA0  COAD",
            private_group=0x0019,
        ),
        ScannerProfile(
            name="siemens_definition",
            vendor="SIEMENS",
            manufacturer="SIEMENS",
            model="SOMATOM Definition AS",
            software="syngo CT 2012B",
            kernels={"soft": ("B30f",), "standard": ("B40f",), "sharp": ("B70f",)},
            bias_hu=-1.6,
            noise_scale=1.1,
            cupping_hu=1.0,
            private_creator="SIEMENS CT VA0  COAD",
            private_group=0x0019,
        ),
        ScannerProfile(
            name="philips_ict",
            vendor="PHILIPS",
            manufacturer="Philips",
            model="iCT 256",
            software="4.1.8",
            kernels={"soft": ("A",), "standard": ("B",), "sharp": ("YA",)},
            bias_hu=1.5,
            sharpness=1.08,
            private_creator="ELSCINT1",
            private_group=0x00E1,
        ),
        ScannerProfile(
            name="canon_aquilion_one",
            vendor="CANON",
            manufacturer="CANON_MEC",
            model="Aquilion ONE",
            software="V8.9ER008",
            kernels={"soft": ("FC08",), "standard": ("FC03",), "sharp": ("FC52",)},
            bias_hu=0.2,
            noise_scale=1.05,
            bits_stored=16,
            pixel_representation=1,
            rescale_intercept=0.0,
            padding_stored=-2000,
            padding_declared=-1500,
            private_creator="TOSHIBA_MEC_CT3",
            private_group=0x7005,
        ),
        ScannerProfile(
            name="uih_uct780",
            vendor="UIH",
            manufacturer="UIH",
            model="uCT 780",
            software="R004",
            kernels={
                "soft": ("B_SOFT_B",),
                "standard": ("B_SOFT_C",),
                "sharp": ("B_SHARP_C",),
            },
            bias_hu=-1.0,
            noise_scale=1.0,
            bits_stored=16,
            rescale_intercept=-8192.0,
            character_set="GB18030",
            private_creator="UIH CT",
            private_group=0x0061,
        ),
        ScannerProfile(
            name="ge_lightspeed_vct",
            vendor="GE",
            manufacturer="GE MEDICAL SYSTEMS",
            model="LightSpeed VCT",
            software="gmp_vct.42",
            kernels={"soft": ("SOFT",), "standard": ("DETAIL",), "sharp": ("BONE",)},
            bias_hu=1.3,
            noise_scale=1.15,
            sharpness=1.04,
            cupping_hu=0.8,
            bits_stored=16,
            pixel_representation=1,
            padding_stored=-2000,
            padding_declared=-2000,
            private_creator="GEMS_PARM_01",
            private_group=0x0043,
        ),
        ScannerProfile(
            name="ge_optima_660",
            vendor="GE",
            manufacturer="GE MEDICAL SYSTEMS",
            model="Optima CT660",
            software="sles_hde.143",
            kernels={"soft": ("SOFT",), "standard": ("STANDARD",), "sharp": ("LUNG",)},
            bias_hu=-0.3,
            noise_scale=1.1,
            sharpness=0.98,
            bits_stored=16,
            pixel_representation=1,
            padding_declared=-2000,
            private_creator="GEMS_ACQU_01",
            private_group=0x0019,
        ),
        ScannerProfile(
            name="philips_ingenuity",
            vendor="PHILIPS",
            manufacturer="Philips",
            model="Ingenuity Core 128",
            software="4.1.7.XX26010",
            kernels={"soft": ("B",), "standard": ("C",), "sharp": ("YB",)},
            bias_hu=0.6,
            noise_scale=1.08,
            sharpness=1.1,
            cupping_hu=0.5,
            private_creator="ELSCINT1",
            private_group=0x00E1,
        ),
        ScannerProfile(
            name="uih_uct530",
            vendor="UIH",
            manufacturer="UIH",
            model="uCT 530",
            software="R001",
            kernels={"soft": ("B_SOFT_A",), "standard": ("B_SOFT_B",), "sharp": ("B_VSHARP_B",)},
            bias_hu=-1.3,
            noise_scale=1.15,
            sharpness=1.06,
            cupping_hu=1.2,
            bits_stored=16,
            rescale_intercept=-8192.0,
            character_set="GB18030",
            private_creator="UIH CT",
            private_group=0x0061,
        ),
        ScannerProfile(
            name="siemens_go_top",
            vendor="SIEMENS",
            manufacturer="Siemens Healthineers",
            model="SOMATOM go.Top",
            software="syngo CT VA40A",
            kernels={"soft": ("Br36f", "2"), "standard": ("Br44f", "2"), "sharp": ("Bl60f", "2")},
            bias_hu=1.1,
            noise_scale=1.2,
            sharpness=1.12,
            cupping_hu=1.3,
            bits_stored=16,
            rescale_intercept=-8192.0,
            multi_valued_kernel=True,
            private_creator="SIEMENS CT VA1 DUMMY",
            private_group=0x0019,
            unseen=True,
        ),
        ScannerProfile(
            name="canon_aquilion_prime",
            vendor="CANON",
            manufacturer="TOSHIBA",
            model="Aquilion PRIME",
            software="V7.0ER006",
            kernels={"soft": ("FC18",), "standard": ("FC13",), "sharp": ("FC51",)},
            bias_hu=-1.5,
            noise_scale=0.8,
            sharpness=0.9,
            bits_stored=16,
            pixel_representation=1,
            rescale_intercept=0.0,
            padding_stored=-2048,
            padding_declared=-2048,
            private_creator="TOSHIBA_MEC_CT3",
            private_group=0x7005,
            unseen=True,
        ),
        ScannerProfile(
            name="uih_uct960",
            vendor="UIH",
            manufacturer="UIH",
            model="uCT 960+",
            software="R002",
            kernels={"soft": ("B_SOFT_C",), "standard": ("B_SOFT_D",), "sharp": ("B_SHARP_D",)},
            bias_hu=1.4,
            noise_scale=0.78,
            sharpness=0.92,
            cupping_hu=0.4,
            bits_stored=16,
            rescale_intercept=-8192.0,
            character_set="GB18030",
            private_creator="UIH CT",
            private_group=0x0061,
            unseen=True,
        ),
    )
}
"""Profiles by name: thirteen models of five vendors, three of them `unseen`."""


SEEN = tuple(name for name, profile in PROFILES.items() if not profile.unseen)
"""Names of the models that training and validation use."""

UNSEEN = tuple(name for name, profile in PROFILES.items() if profile.unseen)
"""Names of the models that only tests use."""


def profile_named(name: str | None, seed: int = 0, *, vendor: str | None = None) -> ScannerProfile:
    """Return a profile by name, or the one that a seed falls on when the name is None.

    Parameters
    ----------
    name : str, optional
        A key of `PROFILES`.
    seed : int
        Chooses among the models that are not unseen.
    vendor : str, optional
        One of `VENDORS`, in any case; narrows the choice.

    Raises
    ------
    ValueError
        When there is no profile of that name, no such vendor, or the model is another vendor's.
    """
    if vendor is not None and vendor.upper() not in VENDORS:
        raise ValueError(f"no vendor {vendor!r}; there are {', '.join(VENDORS)}")
    if name is None:
        seen = [
            PROFILES[key]
            for key in SEEN
            if vendor is None or PROFILES[key].vendor == vendor.upper()
        ]
        return seen[seed % len(seen)]
    if name not in PROFILES:
        raise ValueError(f"no scanner profile {name!r}; there are {', '.join(sorted(PROFILES))}")
    if vendor is not None and PROFILES[name].vendor != vendor.upper():
        raise ValueError(f"{name} is a model of {PROFILES[name].vendor}, not of {vendor.upper()}")
    return PROFILES[name]
