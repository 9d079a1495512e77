"""FHIR R4 (4.0.1) by hand: the elements of what our bundles hold, and what R4B has added.

The models of ``fhir.resources`` are those of R4B (4.3.0), so they take elements that no R4 server
knows. Written from the resource pages of hl7.org/fhir/R4, never from those models.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VALUES = {"valueQuantity": "Quantity", "valueCodeableConcept": "CodeableConcept"} | dict.fromkeys(
    ("valueString", "valueBoolean", "valueInteger", "valueTime", "valueDateTime"), ""
)
RESOURCE = {"resourceType": "", "id": "", "meta": "Meta", "implicitRules": "", "language": ""}
DOMAIN = {
    **RESOURCE,
    "text": "Narrative",
    "contained": "*",
    "extension": "Extension",
    "modifierExtension": "Extension",
}


def plain(*names: str) -> dict[str, str]:
    """Elements of a primitive type."""
    return dict.fromkeys(names, "")


def words(text: str) -> frozenset[str]:
    """Take names apart."""
    return frozenset(text.split())


def all_of(kind: str, *names: str) -> dict[str, str]:
    """Elements of one complex type."""
    return dict.fromkeys(names, kind)


ELEMENTS: dict[str, dict[str, str]] = {
    "Meta": plain("versionId", "lastUpdated", "source", "profile")
    | all_of("Coding", "security", "tag"),
    "Extension": plain("url", "valueCode", "valueString") | {"extension": "Extension"},
    "Identifier": plain("use", "system", "value")
    | {"type": "CodeableConcept", "assigner": "Reference"},
    "Reference": plain("reference", "type", "display") | {"identifier": "Identifier"},
    "CodeableConcept": plain("text") | {"coding": "Coding"},
    "Coding": plain("system", "version", "code", "display", "userSelected"),
    "Quantity": plain("value", "comparator", "unit", "system", "code"),
    "Annotation": plain("authorString", "time", "text") | {"authorReference": "Reference"},
    "HumanName": plain("use", "text", "family", "given", "prefix", "suffix")
    | {"extension": "Extension"},
    "Bundle": RESOURCE
    | plain("type", "timestamp", "total")
    | {"identifier": "Identifier", "entry": "Entry"},
    "Entry": plain("fullUrl") | {"resource": "*"},
    "DiagnosticReport": DOMAIN
    | plain("status", "effectiveDateTime", "issued", "conclusion")
    | all_of("CodeableConcept", "category", "code", "conclusionCode")
    | all_of(
        "Reference",
        *("basedOn", "subject", "encounter", "performer", "resultsInterpreter", "specimen"),
        *("result", "imagingStudy"),
    )
    | {"identifier": "Identifier"},
    "Observation": DOMAIN
    | VALUES
    | plain("status", "effectiveDateTime", "effectiveInstant", "issued")
    | all_of(
        "CodeableConcept",
        *("category", "code", "dataAbsentReason", "interpretation", "bodySite", "method"),
    )
    | all_of(
        "Reference",
        *("basedOn", "partOf", "subject", "focus", "encounter", "performer", "specimen"),
        *("device", "hasMember", "derivedFrom"),
    )
    | {"identifier": "Identifier", "note": "Annotation", "component": "Component"},
    "Component": VALUES | all_of("CodeableConcept", "code", "dataAbsentReason", "interpretation"),
    "ImagingStudy": DOMAIN
    | plain("status", "started", "numberOfSeries", "numberOfInstances", "description")
    | all_of(
        "Reference",
        *("subject", "encounter", "basedOn", "referrer", "interpreter", "endpoint"),
        *("procedureReference", "location", "reasonReference"),
    )
    | all_of("CodeableConcept", "procedureCode", "reasonCode")
    | {
        "identifier": "Identifier",
        "modality": "Coding",
        "note": "Annotation",
        "series": "Series",
    },
    "Series": plain("uid", "number", "description", "numberOfInstances", "started")
    | all_of("Coding", "modality", "bodySite", "laterality")
    | all_of("Reference", "endpoint", "specimen")
    | {"instance": "Instance"},
    "Instance": plain("uid", "number", "title") | {"sopClass": "Coding"},
    "Device": DOMAIN
    | plain("status", "distinctIdentifier", "manufacturer", "manufactureDate", "expirationDate")
    | plain("lotNumber", "serialNumber", "modelNumber", "partNumber", "url")
    | all_of("CodeableConcept", "statusReason", "type", "safety")
    | all_of("Reference", "definition", "patient", "owner", "location", "parent")
    | {
        "identifier": "Identifier",
        "deviceName": "DeviceName",
        "version": "Version",
        "property": "Property",
        "note": "Annotation",
    },
    "DeviceName": plain("name", "type"),
    "Version": plain("value") | {"type": "CodeableConcept", "component": "Identifier"},
    "Property": all_of("CodeableConcept", "type", "valueCode") | {"valueQuantity": "Quantity"},
    "ServiceRequest": DOMAIN
    | plain("instantiatesCanonical", "instantiatesUri", "status", "intent", "priority")
    | plain("doNotPerform", "occurrenceDateTime", "asNeededBoolean", "authoredOn")
    | plain("patientInstruction")
    | all_of(
        "CodeableConcept",
        *("category", "code", "orderDetail", "performerType", "locationCode", "reasonCode"),
        "bodySite",
    )
    | all_of(
        "Reference",
        *("basedOn", "replaces", "subject", "encounter", "requester", "performer"),
        *("locationReference", "reasonReference", "insurance", "supportingInfo", "specimen"),
        "relevantHistory",
    )
    | {"identifier": "Identifier", "requisition": "Identifier", "note": "Annotation"},
    "Patient": DOMAIN
    | plain("active", "gender", "birthDate", "deceasedBoolean", "multipleBirthBoolean")
    | all_of("Reference", "generalPractitioner", "managingOrganization")
    | {"identifier": "Identifier", "name": "HumanName"},
}
"""Type → element → its type; empty for a primitive, ``*`` for any resource. Types of elements that
a bundle of ours never has are left out."""

TARGETS = {
    "DiagnosticReport.subject": ("Patient", "Group", "Device", "Location"),
    "DiagnosticReport.result": ("Observation",),
    "DiagnosticReport.imagingStudy": ("ImagingStudy",),
    "DiagnosticReport.resultsInterpreter": ("Practitioner", "PractitionerRole", "Organization"),
    "Observation.subject": ("Patient", "Group", "Device", "Location"),
    "Observation.device": ("Device", "DeviceMetric"),
    "Observation.derivedFrom": ("ImagingStudy", "Media", "Observation", "DocumentReference"),
    "Observation.hasMember": ("Observation", "QuestionnaireResponse", "MolecularSequence"),
    "Observation.performer": ("Practitioner", "PractitionerRole", "Organization", "Patient"),
    "ImagingStudy.subject": ("Patient", "Device", "Group"),
    "Device.parent": ("Device",),
    "ServiceRequest.subject": ("Patient", "Group", "Location", "Device"),
    "ServiceRequest.requester": ("Practitioner", "Organization", "Patient", "Device"),
    "ServiceRequest.reasonReference": ("Condition", "Observation", "DiagnosticReport"),
    "ServiceRequest.supportingInfo": ("DiagnosticReport",),
}
"""Reference → what it may point at in R4."""

R4B_RESOURCES = words(
    """
    AdministrableProductDefinition Citation ClinicalUseDefinition EvidenceReport Ingredient
    ManufacturedItemDefinition MedicinalProductDefinition NutritionProduct
    PackagedProductDefinition RegulatedAuthorization SubscriptionStatus SubscriptionTopic
    SubstanceDefinition
    """
)
"""Resources that R4B has and R4 has not."""

R4B_ELEMENTS = words(
    """
    valueCodeableReference valueRatioRange defaultValueCodeableReference
    defaultValueRatioRange fixedCodeableReference fixedRatioRange patternCodeableReference
    patternRatioRange lowNumerator highNumerator concept subjectCanonical
    productCodeableReference certainty variableDefinition synthesisType studyType
    statisticType numberAffected modelCharacteristic
    """
)
"""Elements that came with R4B: of its new data types, and of the resources that it changed."""


def unknown_to_r4(value: Any, kind: str, path: str = "") -> Iterator[str]:
    """Give the path of everything that R4 does not have at that place."""
    if kind == "*":
        kind = value.get("resourceType", "")
    path = path or kind
    if kind not in ELEMENTS:
        yield f"{path}: {kind}"
        return
    for name, found in value.items():
        bare = name.removeprefix("_")
        inner = ELEMENTS[kind].get(bare)
        if inner is None or (name != bare and inner):
            yield f"{path}.{name}"
            continue
        if name != bare:
            inner = "Extended"
        for one in found if isinstance(found, list) else [found]:
            if inner:
                yield from unknown_to_r4(one, inner, f"{path}.{name}")
            elif isinstance(one, dict):
                yield f"{path}.{name}: no primitive"


ELEMENTS["Extended"] = {"extension": "Extension", "id": ""}
"""What stands beside a primitive, under its name with an underscore."""


def named(value: Any) -> Iterator[str]:
    """Give every element's name and every resource's type, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name.removeprefix("_")
            if name == "resourceType":
                yield inner
            yield from named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named(inner)


def added_by_r4b(bundle: Any) -> set[str]:
    """Name what a bundle has that came only with R4B."""
    return set(named(bundle)) & (R4B_RESOURCES | R4B_ELEMENTS)
