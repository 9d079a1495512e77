"""SOP classes that we propose for C-GET: an association has room for 128 contexts, not for all."""

from __future__ import annotations

from gateway.dimse.syntaxes import PLAIN_SYNTAXES, STORAGE_CLASSES, TRANSFER_SYNTAXES

_SCREENED = """
CTImageStorage EnhancedCTImageStorage LegacyConvertedEnhancedCTImageStorage
ComputedRadiographyImageStorage DigitalXRayImageStorageForPresentation
"""

_IMAGES = """
MRImageStorage EnhancedMRImageStorage LegacyConvertedEnhancedMRImageStorage
PositronEmissionTomographyImageStorage EnhancedPETImageStorage NuclearMedicineImageStorage
DigitalXRayImageStorageForProcessing DigitalMammographyXRayImageStorageForPresentation
DigitalMammographyXRayImageStorageForProcessing BreastTomosynthesisImageStorage
XRayAngiographicImageStorage XRayRadiofluoroscopicImageStorage UltrasoundImageStorage
UltrasoundMultiFrameImageStorage SecondaryCaptureImageStorage
MultiFrameGrayscaleByteSecondaryCaptureImageStorage
MultiFrameGrayscaleWordSecondaryCaptureImageStorage MultiFrameTrueColorSecondaryCaptureImageStorage
SegmentationStorage RTImageStorage RTDoseStorage RTStructureSetStorage RTPlanStorage
ParametricMapStorage RawDataStorage
"""

_DOCUMENTS = """
BasicTextSRStorage EnhancedSRStorage ComprehensiveSRStorage Comprehensive3DSRStorage
XRayRadiationDoseSRStorage KeyObjectSelectionDocumentStorage MammographyCADSRStorage
ChestCADSRStorage GrayscaleSoftcopyPresentationStateStorage EncapsulatedPDFStorage
SpatialRegistrationStorage DeformableSpatialRegistrationStorage
"""

_ALONE = """
1.2.840.10008.1.2.4.90 1.2.840.10008.1.2.4.91 1.2.840.10008.1.2.4.80 1.2.840.10008.1.2.4.70
1.2.840.10008.1.2.4.57 1.2.840.10008.1.2.5 1.2.840.10008.1.2.4.50 1.2.840.10008.1.2.4.51
"""
"""Compressed syntaxes in which archives keep CT and radiographs."""


def retrieval_contexts() -> list[tuple[str, tuple[str, ...]]]:
    """List the storage contexts of a C-GET: abstract syntax and transfer syntaxes.

    An archive accepts one transfer syntax of a context. So that nothing has to be transcoded,
    what is screened is proposed in each compressed syntax alone, and other images once
    uncompressed and once compressed.
    """
    compressed = tuple(uid for uid in TRANSFER_SYNTAXES if uid not in PLAIN_SYNTAXES)
    contexts: list[tuple[str, tuple[str, ...]]] = []
    for name in _SCREENED.split():
        uid = STORAGE_CLASSES[name]
        contexts += [(uid, (syntax,)) for syntax in _ALONE.split()]
        contexts.append((uid, PLAIN_SYNTAXES))
    for name in _IMAGES.split():
        uid = STORAGE_CLASSES[name]
        contexts += [(uid, compressed), (uid, PLAIN_SYNTAXES)]
    contexts += [(STORAGE_CLASSES[name], PLAIN_SYNTAXES) for name in _DOCUMENTS.split()]
    return contexts
