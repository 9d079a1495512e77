"""An index of many studies, filled by SQL: what queries are measured and planned on."""

from __future__ import annotations

from datetime import date, timedelta

from psycopg.types.json import Jsonb

from gateway.store.database import Connection
from gateway.store.describe import SERIES_KEYWORDS
from gateway.store.keys import ensure_tenant
from gateway.store.partitions import ensure_partition

TENANT, OTHER = "default", "other"

SERIES, SLICES = 2, 200
"""Of a study; every slice is an instance of one frame."""

FIRST_DAY = date(2026, 1, 1)

ROOT = "1.2.826.0.1.3680043.8.498."

SURNAMES = (
    "wang li zhang liu chen yang huang zhao wu zhou xu sun ma zhu hu guo he lin gao luo zheng"
    " mueller schmidt weber smith jones tanaka suzuki kim park nguyen garcia lopez rossi novak"
)
GIVEN = "wei fang na min jing lei jun yan ling hui anna maria peter paul hiroshi ute jose ivan"

CT_ATTRIBUTES = {
    "SpecificCharacterSet": "ISO_IR 192",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"],
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
    "Modality": "CT",
    "Manufacturer": "SIEMENS",
    "ManufacturerModelName": "SOMATOM Definition AS+",
    "SoftwareVersions": "syngo CT VA48A",
    "StationName": "CTAWP00001",
    "InstitutionName": "Provincial Screening Centre",
    "SeriesDescription": "Chest 1.0 Br40 3",
    "ProtocolName": "ThorAbd_Routine (Adult)",
    "BodyPartExamined": "CHEST",
    "PatientPosition": "HFS",
    "PatientSex": "F",
    "PatientAge": "055Y",
    "ScanOptions": "SPIRAL",
    "SliceThickness": 1.0,
    "KVP": 120.0,
    "DataCollectionDiameter": 500.0,
    "ReconstructionDiameter": 340.0,
    "GantryDetectorTilt": 0.0,
    "TableHeight": 155.0,
    "ExposureTime": 500,
    "XRayTubeCurrent": 180,
    "Exposure": 90,
    "FilterType": "FLAT",
    "ConvolutionKernel": ["Br40d", "3"],
    "SpiralPitchFactor": 0.8,
    "CTDIvol": 6.1,
    "ExposureModulationType": "XYZ_EC",
    "SeriesNumber": 3,
    "AcquisitionNumber": 1,
    "Rows": 512,
    "Columns": 512,
    "BitsAllocated": 16,
    "BitsStored": 12,
    "WindowCenter": [40.0, -600.0],
    "WindowWidth": [400.0, 1200.0],
    "RescaleType": "HU",
    "FrameOfReferenceUID": ROOT + "10000000000000000000",
    "PositionReferenceIndicator": "",
    "StudyDescription": "CT Thorax",
    "StudyID": "1",
    "ReferringPhysicianName": "Ärztin^Eine",
    "AcquisitionDate": "20260101",
    "AcquisitionTime": "101500.120000",
    "ContentDate": "20260101",
    "ContentTime": "101501.120000",
    "SliceLocation": -123.5,
}
"""What intake keeps of a CT slice, 1.6 kB as text."""

_STUDIES = f"""
INSERT INTO studies (tenant, study_instance_uid, day, attributes, patient_name,
    referring_physician_name, modalities, series_count, instance_count)
SELECT CASE WHEN n %% 10 = 0 THEN '{OTHER}' ELSE '{TENANT}' END, '{ROOT}' || (10::numeric^19 + n),
    %(day)s::date,
    jsonb_build_object(
        'PatientID', 'P' || lpad((n / 2)::text, 8, '0'),
        'PatientName', initcap(name), 'PatientSex', (ARRAY['F', 'M'])[1 + n %% 2],
        'PatientBirthDate', to_char(date '1940-01-01' + n %% 20000, 'YYYYMMDD'),
        'AccessionNumber', 'A' || lpad(n::text, 9, '0'), 'StudyID', '1',
        'StudyDate', to_char(%(day)s::date, 'YYYYMMDD'),
        'StudyTime', to_char(time '06:00' + n %% 57600 * interval '1 second', 'HH24MISS'),
        'StudyDescription', (ARRAY['CT Thorax', 'CT Abdomen', 'Low dose chest'])[1 + n %% 3],
        'ReferringPhysicianName', 'Ärztin^Eine', 'InstitutionName', 'Provincial Screening Centre'),
    name, 'arztin^eine', CASE WHEN n %% 20 = 0 THEN '{{MR}}' ELSE '{{CT}}' END::text[],
    {SERIES}, {SERIES * SLICES}
FROM (SELECT n, (string_to_array(%(surnames)s, ' '))[1 + (hashint4(n) & 31)] || '^'
    || (string_to_array(%(given)s, ' '))[1 + ((hashint4(n) >> 5) & 15)] AS name
    FROM generate_series(%(first)s::int, %(last)s::int) AS n) AS named
"""

_SERIES = f"""
INSERT INTO series (tenant, study_instance_uid, series_instance_uid, day, attributes,
    instance_count)
SELECT tenant, study_instance_uid, study_instance_uid || '.' || k, day,
    %(of_series)s::jsonb || jsonb_build_object('SeriesNumber', k, 'Modality', modalities[1]),
    {SLICES}
FROM studies, generate_series(1, {SERIES}) AS k WHERE day = %(day)s
"""

_INSTANCES = f"""
INSERT INTO instances (tenant, day, study_instance_uid, series_instance_uid, sop_instance_uid,
    sop_class_uid, transfer_syntax_uid, attributes, object_key, object_offset, object_length)
SELECT s.tenant, s.day, study_instance_uid, series_instance_uid, series_instance_uid || '.' || k,
    '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1',
    %(attributes)s::jsonb || jsonb_build_object('InstanceNumber', k, 'SeriesNumber', series_number),
    '2026/01/01/' || md5(study_instance_uid) || '.seg', k * 530000, 529000
FROM series s, generate_series(1, {SLICES}) AS k WHERE s.day = %(day)s
"""

_FRAMES = """
INSERT INTO frames (tenant, day, study_instance_uid, series_instance_uid, sop_instance_uid,
    frame_number, rows, columns, bits_allocated, bits_stored, high_bit, pixel_representation,
    samples_per_pixel, photometric_interpretation, transfer_syntax_uid, rescale_slope,
    rescale_intercept, image_position_patient, image_orientation_patient, pixel_spacing,
    slice_thickness, object_key, pixel_offset, pixel_length)
SELECT tenant, day, study_instance_uid, series_instance_uid, sop_instance_uid, 1, 512, 512, 16, 12,
    11, 0, 1, 'MONOCHROME2', transfer_syntax_uid, 1, -1024, ARRAY[-170.0, -170.0, 1.5],
    ARRAY[1, 0, 0, 0, 1, 0]::float[], ARRAY[0.66, 0.66], 1, object_key, object_offset + 4000, 524288
FROM instances WHERE day = %(day)s
"""


async def fill(connection: Connection, frames: int, *, days: int = 30) -> int:
    """Fill an empty database with studies of 400 slices, a tenth of them another tenant's.

    Parameters
    ----------
    frames : int
        About as many; whole studies, the same number each day.
    days : int
        Partitions that they are spread over.

    Returns
    -------
    int
        Studies.
    """
    await ensure_tenant(connection, TENANT)
    await ensure_tenant(connection, OTHER)
    await connection.execute("SET synchronous_commit = off")
    studies = max(1, frames // (days * SERIES * SLICES))
    attributes = Jsonb(CT_ATTRIBUTES)
    of_series = Jsonb({key: CT_ATTRIBUTES[key] for key in SERIES_KEYWORDS & CT_ATTRIBUTES.keys()})
    for number in range(days):
        day = FIRST_DAY + timedelta(days=number)
        await ensure_partition(connection, day)
        values = {
            "day": day,
            "attributes": attributes,
            "of_series": of_series,
            "surnames": SURNAMES,
            "given": GIVEN,
            "first": number * studies,
            "last": (number + 1) * studies - 1,
        }
        for sql in (_STUDIES, _SERIES, _INSTANCES, _FRAMES):
            await connection.execute(sql, values)
        await connection.commit()
    await connection.execute("ANALYZE studies, series, instances")
    await connection.commit()
    return days * studies


def study_uid(number: int) -> str:
    """Give the UID of the nth study, from 0."""
    return f"{ROOT}{10**19 + number}"
