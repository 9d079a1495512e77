"""Write a scan as one Enhanced CT or Legacy Converted Enhanced CT instance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

from networks.phantoms.acquire import Acquisition
from networks.phantoms.header import StudyHeader, common_dataset
from networks.phantoms.instance_writer import add_pixel_module, decimal, save
from networks.phantoms.planes import PlaneGeometry, stored_values

ENHANCED = "enhanced"
LEGACY = "legacy"

_KERNEL_GROUP = {"soft": "SOFT_TISSUE", "standard": "SOFT_TISSUE", "sharp": "LUNG"}


def _item(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def _code(value: str, meaning: str) -> Items:
    return Items([_item(CodeValue=value, CodingSchemeDesignator="SCT", CodeMeaning=meaning)])


def write_multiframe(
    path: Path,
    header: StudyHeader,
    scan: Acquisition,
    geometry: PlaneGeometry,
    planes: Sequence[int],
    *,
    kind: str,
    series_number: int,
    description: str,
    slope: float,
    kvp: float,
    transfer_syntax_uid: str,
) -> Dataset:
    """Write the planes (indices in writing order) as the frames of one instance.

    `kind` is "enhanced" or "legacy".
    """
    legacy = kind == LEGACY
    profile = header.profile
    ds = common_dataset(header)
    ds.SOPClassUID = LegacyConvertedEnhancedCTImageStorage if legacy else EnhancedCTImageStorage
    ds.SOPInstanceUID = header.uid("instance", series_number, kind)
    ds.SeriesInstanceUID = header.uid("series", series_number)
    ds.SeriesNumber = series_number
    ds.SeriesDescription = description
    ds.InstanceNumber = 1
    day = header.study_date.strftime("%Y%m%d")
    ds.AcquisitionDateTime = day + header.time
    ds.AcquisitionDuration = 8.0
    ds.AcquisitionNumber = 1
    for keyword in ("AcquisitionDate", "AcquisitionTime"):
        delattr(ds, keyword)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.PixelPresentation = "MONOCHROME"
    ds.VolumetricProperties = "VOLUME"
    ds.VolumeBasedCalculationTechnique = "NONE"
    ds.ContentQualification = "RESEARCH"
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.PresentationLUTShape = "IDENTITY"
    ds.AcquisitionContextSequence = Items([])
    ds.NumberOfFrames = len(planes)
    add_pixel_module(ds, profile, *scan.hu.shape[1:])

    organization = header.uid("dimensions", series_number)
    ds.DimensionOrganizationSequence = Items([_item(DimensionOrganizationUID=organization)])
    ds.DimensionIndexSequence = Items(
        [
            _item(
                DimensionOrganizationUID=organization,
                DimensionIndexPointer=0x00209057,  # In-Stack Position Number
                FunctionalGroupPointer=0x00209111,  # Frame Content Sequence
            )
        ]
    )
    ds.SharedFunctionalGroupsSequence = Items(
        [_shared_groups(header, scan, geometry, legacy=legacy, slope=slope, kvp=kvp)]
    )
    ds.PerFrameFunctionalGroupsSequence = Items(
        [
            _frame_groups(header, geometry, n, number, legacy=legacy, series_number=series_number)
            for number, n in enumerate(planes, start=1)
        ]
    )
    if header.contrast_agent and not legacy:
        for keyword in ("ContrastBolusRoute", "ContrastBolusVolume"):
            delattr(ds, keyword)
        ds.ContrastBolusAgentSequence = Items(
            [
                _item(
                    CodeValue="385420005", CodingSchemeDesignator="SCT",
                    CodeMeaning="Contrast agent", ContrastBolusAgentNumber=1,
                    ContrastBolusAdministrationRouteSequence=_code("47625008", "Intravenous route"),
                    ContrastBolusIngredientCodeSequence=_code("44588005", "Iodine"),
                    ContrastBolusVolume="80", ContrastBolusIngredientConcentration="300",
                )
            ]
        )  # fmt: skip
    ds.PixelData = b"".join(
        stored_values(
            scan.hu[geometry.order[n]], geometry, profile, scan.circle, slope=slope
        ).tobytes()
        for n in planes
    )
    save(ds, path, transfer_syntax_uid)
    return ds


def _shared_groups(
    header: StudyHeader,
    scan: Acquisition,
    geometry: PlaneGeometry,
    *,
    legacy: bool,
    slope: float,
    kvp: float,
) -> Dataset:
    profile = header.profile
    kernel = profile.kernels[scan.kernel]
    kernel_value = list(kernel) if len(kernel) > 1 else kernel[0]
    shared = Dataset()
    shared.PixelMeasuresSequence = Items(
        [
            _item(
                PixelSpacing=[decimal(v) for v in geometry.pixel_spacing_mm],
                SliceThickness=decimal(scan.thickness_mm),
                SpacingBetweenSlices=decimal(geometry.between_slices_mm),
            )
        ]
    )
    shared.PlaneOrientationSequence = Items(
        [_item(ImageOrientationPatient=[decimal(v) for v in geometry.orientation])]
    )
    shared.PixelValueTransformationSequence = Items(
        [
            _item(
                RescaleIntercept=decimal(profile.rescale_intercept),
                RescaleSlope=decimal(slope),
                RescaleType="HU",
            )
        ]
    )
    shared.FrameVOILUTSequence = Items([_item(WindowCenter="40", WindowWidth="400")])
    shared.FrameAnatomySequence = Items(
        [_item(FrameLaterality="U", AnatomicRegionSequence=_code("416775004", "Chest, Abdomen"))]
    )
    shared.CTImageFrameTypeSequence = Items(
        [
            _item(
                FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
                PixelPresentation="MONOCHROME",
                VolumetricProperties="VOLUME",
                VolumeBasedCalculationTechnique="NONE",
            )
        ]
    )
    if legacy:
        unassigned = _item(
            KVP=decimal(kvp), ConvolutionKernel=kernel_value, ScanOptions="HELICAL MODE",
            GantryDetectorTilt=decimal(scan.tilt_degrees),
        )  # fmt: skip
        shared.UnassignedSharedConvertedAttributesSequence = Items([unassigned])
        return shared
    tilt = float(scan.tilt_degrees)
    shared.IrradiationEventIdentificationSequence = Items(
        [_item(IrradiationEventUID=header.uid("irradiation"))]
    )
    if header.contrast_agent:
        shared.ContrastBolusUsageSequence = Items(
            [
                _item(
                    ContrastBolusAgentNumber=1,
                    ContrastBolusAgentAdministered="YES",
                    ContrastBolusAgentDetected="YES",
                )
            ]
        )
    shared.CTAcquisitionTypeSequence = Items(
        [
            _item(
                AcquisitionType="SPIRAL",
                ConstantVolumeFlag="NO",
                FluoroscopyFlag="NO",
            )
        ]
    )
    shared.CTAcquisitionDetailsSequence = Items(
        [
            _item(
                RotationDirection="CW", RevolutionTime=0.5, SingleCollimationWidth=0.6,
                TotalCollimationWidth=38.4, TableHeight=160.0, GantryDetectorTilt=tilt,
                DataCollectionDiameter=500.0,
            )
        ]
    )  # fmt: skip
    shared.CTTableDynamicsSequence = Items(
        [_item(TableSpeed=60.0, TableFeedPerRotation=30.0, SpiralPitchFactor=0.8)]
    )
    shared.CTGeometrySequence = Items(
        [_item(DistanceSourceToDetector=1085.0, DistanceSourceToDataCollectionCenter=595.0)]
    )
    field = scan.spacing_mm[2] * scan.hu.shape[2]
    shared.CTReconstructionSequence = Items(
        [
            _item(
                ReconstructionAlgorithm="FILTER_BACK_PROJ",
                ConvolutionKernel=kernel_value,
                ConvolutionKernelGroup=_KERNEL_GROUP[scan.kernel],
                ReconstructionDiameter=decimal(field),
                ReconstructionPixelSpacing=[*geometry.pixel_spacing_mm],
                ReconstructionAngle=360.0,
                ImageFilter="Standard",
            )
        ]
    )
    shared.CTExposureSequence = Items(
        [
            _item(
                ExposureTimeInms=500.0, XRayTubeCurrentInmA=220.0, ExposureInmAs=110.0,
                ExposureModulationType="ANGULAR", CTDIvol=7.0,
                CTDIPhantomTypeCodeSequence=Items(
                    [
                        _item(
                            CodeValue="113691", CodingSchemeDesignator="DCM",
                            CodeMeaning="IEC Body Dosimetry Phantom",
                        )
                    ]
                ),
            )
        ]
    )  # fmt: skip
    shared.CTXRayDetailsSequence = Items(
        [
            _item(
                KVP=decimal(kvp), FocalSpots=[0.9], FilterType="WEDGE", FilterMaterial="ALUMINUM",
                CalciumScoringMassFactorPatient=1.0,
            )
        ]
    )  # fmt: skip
    return shared


def _frame_groups(
    header: StudyHeader,
    geometry: PlaneGeometry,
    n: int,
    number: int,
    *,
    legacy: bool,
    series_number: int,
) -> Dataset:
    day = header.study_date.strftime("%Y%m%d")
    moment = f"{day}{header.time}.{number:06d}"
    frame = Dataset()
    frame.FrameContentSequence = Items(
        [
            _item(
                StackID="1",
                InStackPositionNumber=number,
                DimensionIndexValues=[number],
                FrameAcquisitionNumber=1,
                FrameReferenceDateTime=moment,
                FrameAcquisitionDateTime=moment,
                FrameAcquisitionDuration=500.0,
            )
        ]
    )
    place = [decimal(v) for v in geometry.positions[n]]
    frame.PlanePositionSequence = Items([_item(ImagePositionPatient=place)])
    z = float(geometry.positions[n][2])
    if legacy:
        frame.UnassignedPerFrameConvertedAttributesSequence = Items(
            [_item(InstanceNumber=n + 1, SliceLocation=decimal(z))]
        )
        frame.ConversionSourceAttributesSequence = Items(
            [
                _item(
                    ReferencedSOPClassUID=CTImageStorage,
                    ReferencedSOPInstanceUID=header.uid("converted", series_number, n),
                )
            ]
        )
    else:
        frame.CTPositionSequence = Items(
            [
                _item(
                    TablePosition=z,
                    DataCollectionCenterPatient=[0.0, 0.0, z],
                    ReconstructionTargetCenterPatient=[0.0, 0.0, z],
                )
            ]
        )
    return frame
