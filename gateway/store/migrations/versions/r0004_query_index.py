"""What queries for studies and series read, beside the instances.

Columns that are plain copies of an attribute are generated; folded names are not, since no
database folds them alike.
"""

from alembic import op
from sqlalchemy import text

from gateway.store.folding import name_groups

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STUDIES = """
ALTER TABLE studies
    ADD COLUMN patient_id text COLLATE "C" NOT NULL
        GENERATED ALWAYS AS (coalesce(attributes ->> 'PatientID', '')) STORED,
    ADD COLUMN accession_number text COLLATE "C" NOT NULL
        GENERATED ALWAYS AS (coalesce(attributes ->> 'AccessionNumber', '')) STORED,
    ADD COLUMN patient_birth_date text COLLATE "C" NOT NULL  -- YYYYMMDD
        GENERATED ALWAYS AS (regexp_replace(
            coalesce(attributes ->> 'PatientBirthDate', ''), '[^0-9]', '', 'g')) STORED,
    ADD COLUMN study_date text COLLATE "C" NOT NULL  -- YYYYMMDD
        GENERATED ALWAYS AS (regexp_replace(
            coalesce(attributes ->> 'StudyDate', ''), '[^0-9]', '', 'g')) STORED,
    ADD COLUMN study_time text COLLATE "C" NOT NULL  -- HHMMSSFFFFFF
        GENERATED ALWAYS AS (CASE WHEN coalesce(attributes ->> 'StudyTime', '') = '' THEN '' ELSE
            rpad(regexp_replace(attributes ->> 'StudyTime', '[^0-9]', '', 'g'), 12, '0')
            END) STORED,
    ADD COLUMN patient_name text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN patient_name_ideographic text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN patient_name_phonetic text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN referring_physician_name text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN modalities text[] NOT NULL DEFAULT '{}',  -- sorted
    ADD COLUMN series_count integer NOT NULL DEFAULT 0,
    ADD COLUMN instance_count integer NOT NULL DEFAULT 0;

CREATE INDEX studies_newest
    ON studies (tenant, study_date DESC, study_time DESC, study_instance_uid);
CREATE INDEX studies_patient_id ON studies (tenant, patient_id);
CREATE INDEX studies_accession_number ON studies (tenant, accession_number);
CREATE INDEX studies_patient_name ON studies (tenant, patient_name);
CREATE INDEX studies_patient_name_ideographic ON studies (tenant, patient_name_ideographic)
    WHERE patient_name_ideographic <> '';
CREATE INDEX studies_patient_name_phonetic ON studies (tenant, patient_name_phonetic)
    WHERE patient_name_phonetic <> '';
CREATE INDEX studies_updated_at ON studies (tenant, updated_at);
"""

SERIES = """
CREATE TABLE series (
    tenant               text NOT NULL,
    study_instance_uid   text NOT NULL,
    series_instance_uid  text NOT NULL,
    day                  date NOT NULL,
    attributes           jsonb NOT NULL DEFAULT '{}',  -- DICOM keyword -> value
    modality             text COLLATE "C" NOT NULL
        GENERATED ALWAYS AS (coalesce(attributes ->> 'Modality', '')) STORED,
    series_number        integer
        GENERATED ALWAYS AS (CASE WHEN jsonb_typeof(attributes -> 'SeriesNumber') = 'number'
            THEN (attributes ->> 'SeriesNumber')::numeric::integer END) STORED,
    instance_count       integer NOT NULL DEFAULT 0,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, study_instance_uid, series_instance_uid),
    FOREIGN KEY (tenant, study_instance_uid) REFERENCES studies ON DELETE CASCADE
);
CREATE INDEX series_series_instance_uid ON series (tenant, series_instance_uid);
CREATE INDEX series_day ON series (day);
"""

SERIES_KEYWORDS = (
    "BodyPartExamined",
    "FrameOfReferenceUID",
    "Laterality",
    "Manufacturer",
    "ManufacturerModelName",
    "Modality",
    "PatientPosition",
    "PerformedProcedureStepDescription",
    "ProtocolName",
    "SeriesDate",
    "SeriesDescription",
    "SeriesNumber",
    "SeriesTime",
    "StationName",
)

FILL_SERIES = """
INSERT INTO series (tenant, study_instance_uid, series_instance_uid, day, attributes,
    instance_count)
SELECT tenant, study_instance_uid, series_instance_uid, newest.day,
    (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(newest.attributes)
        WHERE key = ANY(:keywords)),
    counts.number
FROM (SELECT DISTINCT ON (tenant, study_instance_uid, series_instance_uid)
        tenant, study_instance_uid, series_instance_uid, day, attributes FROM instances
        ORDER BY tenant, study_instance_uid, series_instance_uid, received_at DESC) newest
JOIN (SELECT tenant, study_instance_uid, series_instance_uid, count(*) AS number FROM instances
        GROUP BY tenant, study_instance_uid, series_instance_uid) counts
    USING (tenant, study_instance_uid, series_instance_uid)
"""

FILL_COUNTS = """
UPDATE studies SET modalities = counts.modalities, series_count = counts.series,
    instance_count = counts.instances
FROM (SELECT tenant, study_instance_uid, count(*) AS series, sum(instance_count) AS instances,
        coalesce(array_agg(DISTINCT modality::text ORDER BY modality::text)
            FILTER (WHERE modality <> ''), '{}') AS modalities
        FROM series GROUP BY tenant, study_instance_uid) counts
WHERE (studies.tenant, studies.study_instance_uid) = (counts.tenant, counts.study_instance_uid)
"""

READ_NAMES = """
SELECT tenant, study_instance_uid, attributes -> 'PatientName' AS patient,
    attributes -> 'ReferringPhysicianName' AS physician FROM studies
WHERE attributes ?| ARRAY['PatientName', 'ReferringPhysicianName']
"""

FILL_NAMES = """
UPDATE studies SET patient_name = :alphabetic, patient_name_ideographic = :ideographic,
    patient_name_phonetic = :phonetic, referring_physician_name = :physician
WHERE tenant = :tenant AND study_instance_uid = :study
"""

BATCH = 5000
"""Names that are written at once."""


def upgrade() -> None:
    op.execute(STUDIES)
    op.execute(SERIES)
    connection = op.get_bind()
    connection.execute(text(FILL_SERIES), {"keywords": list(SERIES_KEYWORDS)})
    connection.execute(text(FILL_COUNTS))
    for rows in connection.execute(text(READ_NAMES)).partitions(BATCH):
        named = [
            dict(
                zip(("alphabetic", "ideographic", "phonetic"), name_groups(row.patient)),
                physician=name_groups(row.physician)[0],
                tenant=row.tenant,
                study=row.study_instance_uid,
            )
            for row in rows
        ]
        connection.execute(text(FILL_NAMES), named)


def downgrade() -> None:
    op.execute(
        """
        DROP TABLE series;
        DROP INDEX studies_newest, studies_updated_at;
        ALTER TABLE studies
            DROP COLUMN patient_id,
            DROP COLUMN accession_number,
            DROP COLUMN patient_birth_date,
            DROP COLUMN study_date,
            DROP COLUMN study_time,
            DROP COLUMN patient_name,
            DROP COLUMN patient_name_ideographic,
            DROP COLUMN patient_name_phonetic,
            DROP COLUMN referring_physician_name,
            DROP COLUMN modalities,
            DROP COLUMN series_count,
            DROP COLUMN instance_count;
        """
    )
