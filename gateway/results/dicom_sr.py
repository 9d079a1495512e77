"""A screening as a structured report: Comprehensive 3D SR, TID 1500 *Measurement Report*.

Each check is a group of TID 1501: its state as a coded evaluation, the reason beside it, its
measures and what the rules say. Each lesion that is shown is a group of TID 1411 with its centre.
It is UNVERIFIED until somebody signs; the signed report is another instance that names this one
as its predecessor.

References
----------
* DICOM PS3.16, TID 1500, 1501, 1411, 4019.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from gateway import __version__
from gateway.results import dicom_codes
from gateway.results.dicom_codes import Code, code_of, organ_code, own_code, unit_code
from gateway.results.dicom_file import (
    FIRST_SERIES_NUMBER,
    MANUFACTURER,
    MODEL,
    Made,
    add_common,
    dicom_date,
    dicom_time,
    made,
    made_at,
)
from gateway.results.dicom_source import Screened
from gateway.results.dicom_uids import ResultUids, derived_uid
from gateway.results.making import Signature

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.88.34"
"""Comprehensive 3D SR Storage."""

DEVICE_UID = derived_uid("device")
"""Observer of every report: the software, wherever it runs."""

GIVEN_ID = "UNSIGNED"
"""Edition of the report that nobody has signed."""

_FINDINGS = {"positive", "indeterminate"}


def unsigned_sr(screened: Screened) -> Made:
    """Make the report of a finished screening, UNVERIFIED."""
    return _sr(screened, None)


def signed_sr(screened: Screened, signature: Signature) -> Made:
    """Make the signed report: VERIFIED, a new instance, its predecessor named."""
    return _sr(screened, signature)


def _sr(screened: Screened, signature: Signature | None) -> Made:
    source = screened.series[0]
    uids = ResultUids(screened.tenant, screened.result)
    ds = Dataset()
    [root] = _Report(screened, uids, signature).content()
    for element in root:
        ds[element.tag] = element
    ds.SOPClassUID = SOP_CLASS
    ds.SOPInstanceUID = uids.of("sr", "instance", signature.review_id if signature else GIVEN_ID)
    ds.SeriesInstanceUID = uids.of("sr", "series")
    add_common(ds, source, signature.at if signature else made_at(screened))
    ds.Modality = "SR"
    ds.SeriesNumber = FIRST_SERIES_NUMBER
    ds.SeriesDescription = "OneScan report"
    ds.InstanceNumber = 1 if signature is None else 2
    ds.CompletionFlag = "COMPLETE"
    ds.PreliminaryFlag = "PRELIMINARY" if signature is None else "FINAL"
    ds.VerificationFlag = "UNVERIFIED" if signature is None else "VERIFIED"
    ds.ReferencedPerformedProcedureStepSequence = Items([])
    ds.PerformedProcedureCodeSequence = Items([])
    ds.CodingSchemeIdentificationSequence = Items([_own_scheme()])
    study = str(source.header.StudyInstanceUID)
    images = [(one.uid, one.sop_classes) for one in screened.series]
    ds.CurrentRequestedProcedureEvidenceSequence = Items([_references(study, images)])
    if signature is not None:
        before = uids.of("sr", "instance", signature.amends or GIVEN_ID)
        predecessor = _references(study, [(ds.SeriesInstanceUID, {before: SOP_CLASS})])
        ds.PredecessorDocumentsSequence = Items([predecessor])
        ds.VerifyingObserverSequence = Items([_observer(signature, source.copied.any_text)])
    return made("sr", ds)


def _own_scheme() -> Dataset:
    item = Dataset()
    item.CodingSchemeDesignator = dicom_codes.OWN
    item.CodingSchemeUID = dicom_codes.OWN_UID
    item.CodingSchemeName = "Names of OneScan"
    return item


def _observer(signature: Signature, any_text: bool) -> Dataset:
    """Say who signed and when."""
    item = Dataset()
    item.VerifyingOrganization = _plain(signature.organization, any_text)[:64]
    item.VerificationDateTime = dicom_date(signature.at) + dicom_time(signature.at)
    item.VerifyingObserverName = _plain(signature.name, any_text)
    item.VerifyingObserverIdentificationCodeSequence = Items([])
    return item


def _references(study: str, series: Iterable[tuple[str, Mapping[str, str]]]) -> Dataset:
    """Name instances, by series."""
    item = Dataset()
    item.StudyInstanceUID = study
    found: dict[str, dict[str, str]] = {}
    for uid, sop_classes in series:
        found.setdefault(uid, {}).update(sop_classes)
    inner = []
    for uid, sop_classes in found.items():
        one = Dataset()
        one.SeriesInstanceUID = uid
        instances = []
        for instance_uid, sop_class in sop_classes.items():
            instance = Dataset()
            instance.ReferencedSOPClassUID = sop_class
            instance.ReferencedSOPInstanceUID = instance_uid
            instances.append(instance)
        one.ReferencedSOPSequence = Items(instances)
        inner.append(one)
    item.ReferencedSeriesSequence = Items(inner)
    return item


def _plain(text: str, any_text: bool) -> str:
    return text if any_text else text.encode("ascii", "replace").decode()


class _Report:
    """The content of one report."""

    def __init__(self, screened: Screened, uids: ResultUids, signature: Signature | None) -> None:
        self._screened = screened
        self._uids = uids
        self._signature = signature
        self._any_text = screened.series[0].copied.any_text
        self._checks: Sequence[Mapping[str, Any]] = screened.result["checks"]

    def content(self) -> Any:
        """Make the tree."""
        from highdicom.sr import (
            CodedConcept,
            LanguageOfContentItemAndDescendants,
            MeasurementReport,
            RelationshipTypeValues,
            TextContentItem,
        )

        modality = str(self._screened.series[0].header.get("Modality") or "")
        procedure = dicom_codes.CT if modality == "CT" else dicom_codes.IMAGING
        tree = MeasurementReport(
            observation_context=self._observers(),
            procedure_reported=_concept(procedure),
            imaging_measurements=list(self._groups()),
            title=_concept(dicom_codes.REPORT),
            language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
                CodedConcept(*dicom_codes.ENGLISH)
            ),
        )
        for name, text in self._texts():
            tree[0].ContentSequence.append(
                TextContentItem(
                    name=_concept(name),
                    value=text,
                    relationship_type=RelationshipTypeValues.CONTAINS,
                )
            )
        return tree

    def _observers(self) -> Any:
        from highdicom.sr import (
            DeviceObserverIdentifyingAttributes,
            ObservationContext,
            ObserverContext,
            PersonObserverIdentifyingAttributes,
        )

        device = ObserverContext(
            observer_type=_concept(Code("121007", "DCM", "Device")),
            observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                uid=DEVICE_UID,
                name="OneScan",
                manufacturer_name=MANUFACTURER,
                model_name=f"{MODEL} {__version__}",
            ),
        )
        person = None
        if self._signature is not None:
            person = ObserverContext(
                observer_type=_concept(Code("121006", "DCM", "Person")),
                observer_identifying_attributes=PersonObserverIdentifyingAttributes(
                    name=_plain(self._signature.name, self._any_text)
                ),
            )
        return ObservationContext(observer_person_context=person, observer_device_context=device)

    def _texts(self) -> Iterator[tuple[Code, str]]:
        """Give what is said in words, the disclaimer first."""
        yield dicom_codes.COMMENT, self._screened.result["disclaimer"]
        for check in self._checks:
            text = check["text"]
            said = text["en"] + (f" / {text['zh']}" if self._any_text else "")
            yield dicom_codes.IMPRESSION, f"{check['check']}: {said}"
        if self._signature is not None and self._signature.comment:
            yield dicom_codes.COMMENT, _plain(self._signature.comment, self._any_text)

    def _groups(self) -> Iterator[Any]:
        yield self._summary()
        for check in self._checks:
            yield self._check(check)
            for lesion in shown_lesions(check):
                if (group := self._lesion(check, lesion)) is not None:
                    yield group

    def _summary(self) -> Any:
        """Say of the whole study whether everything ran and something was found."""
        from highdicom.sr import (
            MeasurementsAndQualitativeEvaluations,
            QualitativeEvaluation,
            TrackingIdentifier,
        )

        states = [check["state"] for check in self._checks]
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(
                uid=self._uids.of("tracking", "study"), identifier="study"
            ),
            algorithm_id=_algorithm("OneScan", __version__, ()),
            qualitative_evaluations=[
                QualitativeEvaluation(_concept(dicom_codes.SUMMARY), _concept(summary_of(states)))
            ],
        )

    def _check(self, check: Mapping[str, Any]) -> Any:
        from highdicom.sr import MeasurementsAndQualitativeEvaluations, TrackingIdentifier

        name = check["check"]
        found = code_of(check["codes"].get("finding"))
        site = code_of(check["codes"].get("site"))
        named = check["codes"].get("measures", {})
        measured = [
            _measurement(code_of(named.get(key)) or own_code(key), value, check["units"][key])
            for key, value in check["measures"].items()
            if value is not None and key in check["units"]
        ]
        if check["score"] is not None:
            unit = (check["thresholds"] or {}).get("unit") or "1"
            measured.insert(0, _measurement(own_code("score"), check["score"], unit))
        measured += [
            _measurement(own_code(said["rule"]), said["value"], "1")
            for said in check["assessments"]
            if said["value"] is not None
        ]
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(
                uid=self._uids.of("tracking", name), identifier=name
            ),
            finding_type=_concept(found) if found else None,
            algorithm_id=self._algorithm_of(check),
            finding_sites=_sites(site, None),
            measurements=measured or None,
            qualitative_evaluations=list(self._evaluations(check)),
        )

    def _evaluations(self, check: Mapping[str, Any]) -> Iterator[Any]:
        """Give the state, the reason beside it, and what else is one of several words."""
        name = check["check"]
        yield _evaluation(own_code(name), dicom_codes.STATES[check["state"]])
        if check["reason"] is not None:
            yield _evaluation(own_code("reason"), own_code(check["reason"]))
        yield _evaluation(own_code("urgency"), own_code(check["urgency"]))
        if check["grade"] is not None:
            yield _evaluation(own_code("grade"), own_code(check["grade"]))
        for rule in check["assessments"]:
            if rule["category"] is not None:
                yield _evaluation(own_code(rule["rule"]), own_code(rule["category"]))
        if self._signature is not None and (said := self._signature.decisions.get(name)):
            yield _evaluation(own_code("decision", "Decision of the reader"), own_code(said))

    def _lesion(self, check: Mapping[str, Any], lesion: Mapping[str, Any]) -> Any | None:
        from highdicom.sr import (
            SourceImageForSegmentation,
            TrackingIdentifier,
            VolumeSurface,
            VolumetricROIMeasurementsAndQualitativeEvaluations,
        )

        series = self._screened.series_of(lesion)
        if series is None or not series.frame_of_reference_uid:
            return None
        frame = series.frame_of(lesion) or series.frames[0]
        uid = frame.sop_instance_uid
        frames = [frame.frame_number] if series.multi_frame else None
        surface = VolumeSurface(
            graphic_type="POINT",
            graphic_data=_point(lesion["centre_mm"]),
            frame_of_reference_uid=series.frame_of_reference_uid,
            source_images=[SourceImageForSegmentation(series.sop_classes[uid], uid, frames)],
        )
        site, side = place_of(check, lesion)
        return VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(
                uid=self._uids.tracking(check["check"], lesion["id"]),
                identifier=lesion_name(check, lesion),
            ),
            referenced_volume_surface=surface,
            finding_type=_concept(lesion_code(check)),
            algorithm_id=self._algorithm_of(check),
            finding_sites=_sites(site, side),
            measurements=list(_measured(lesion)) or None,
            qualitative_evaluations=list(_described(lesion)),
        )

    def _algorithm_of(self, check: Mapping[str, Any]) -> Any:
        made_by = check["provenance"]
        parameters = [
            f"{name}={made_by[name]}"
            for name in (
                "manifest_digest",
                "threshold_set",
                "recipe_digest",
                "weights_origin",
                "software_version",
            )
            if made_by.get(name)
        ]
        parameters += [
            f"model {model}={digest}"
            for model, digest in sorted((made_by.get("models") or {}).items())
        ]
        name = made_by.get("pipeline") or check["check"]
        return _algorithm(name, made_by.get("version") or __version__, parameters)


def shown_lesions(check: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """List the lesions of a check that are shown to a reader."""
    return [lesion for lesion in check["lesions"] if lesion["marked"] or lesion["flagged"]]


def lesion_name(check: Mapping[str, Any], lesion: Mapping[str, Any]) -> str:
    """Name a lesion as every form does."""
    return f"{check['check']} {lesion['id']}"


def lesion_code(check: Mapping[str, Any]) -> Code:
    """Give the code of what a lesion of a check is."""
    return code_of(check["codes"].get("finding")) or dicom_codes.LESION


def place_of(
    check: Mapping[str, Any], lesion: Mapping[str, Any]
) -> tuple[Code | None, Code | None]:
    """Give the codes of where a lesion lies: organ and side."""
    side = dicom_codes.SIDES.get(lesion["side"] or "")
    if lesion["site"] is None:
        return code_of(check["codes"].get("site")), side
    organ, own_side = organ_code(lesion["site"])
    return organ, own_side or side


def summary_of(states: Sequence[str]) -> Code:
    """Give the study's summary from the states of its checks."""
    ran = [state for state in states if state not in ("not_evaluated", "failed")]
    found = any(state in _FINDINGS for state in ran)
    if not ran:
        return dicom_codes.NONE_SUCCEEDED
    if len(ran) < len(states):
        return dicom_codes.PARTLY_WITH_FINDINGS if found else dicom_codes.PARTLY
    return dicom_codes.SUCCEEDED_WITH_FINDINGS if found else dicom_codes.SUCCEEDED


def _measured(lesion: Mapping[str, Any]) -> Iterator[Any]:
    for key, (code, unit) in dicom_codes.LESION_MEASURES.items():
        if lesion[key] is not None:
            yield _measurement(code, lesion[key], unit)
    for key, value in (lesion["hu"] or {}).items():
        yield _measurement(dicom_codes.HU_MEASURES[key], value, "[hnsf'U]")
    if lesion["score"] is not None:
        yield _measurement(dicom_codes.PROBABILITY, lesion["score"], "1")
    for name, value in lesion["classes"].items():
        yield _measurement(own_code(name), value, "1")
    for name, value in lesion["measures"].items():
        if value is not None:
            yield _measurement(own_code(name), value, _unit_of(name))


def _unit_of(name: str) -> str:
    """Give the unit that the name of a lesion's measure ends with."""
    ends = {"_mm": "mm", "_mm2": "mm2", "_mm3": "mm3", "_ml": "mL", "_hu": "[hnsf'U]"}
    return next((unit for end, unit in ends.items() if name.endswith(end)), "1")


def _described(lesion: Mapping[str, Any]) -> Iterator[Any]:
    if lesion["kind"] is not None:
        yield _evaluation(own_code("kind"), own_code(lesion["kind"]))
    if lesion.get("category"):
        yield _evaluation(own_code("category"), own_code(lesion["category"]))
    shown = "flagged" if lesion["flagged"] else "marked"
    yield _evaluation(own_code("shown", "Shown as"), own_code(shown))


def _evaluation(name: Code, value: Code) -> Any:
    from highdicom.sr import QualitativeEvaluation

    return QualitativeEvaluation(_concept(name), _concept(value))


def _measurement(name: Code, value: float, unit: str) -> Any:
    from highdicom.sr import Measurement

    return Measurement(
        name=_concept(name), value=round(float(value), 4), unit=_concept(unit_code(unit))
    )


def _sites(site: Code | None, side: Code | None) -> Any:
    from highdicom.sr import FindingSite

    if site is None:
        return None
    return [FindingSite(_concept(site), laterality=_concept(side) if side else None)]


def _algorithm(name: str, version: str, parameters: Sequence[str]) -> Any:
    from highdicom.sr import AlgorithmIdentification

    return AlgorithmIdentification(name=name, version=version, parameters=list(parameters) or None)


@lru_cache(maxsize=4096)
def _concept(code: Code) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)


def _point(centre_mm: Sequence[float]) -> Any:
    import numpy as np

    return np.array([centre_mm], np.float64)
