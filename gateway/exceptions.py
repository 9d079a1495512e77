"""Everything OneScan raises on purpose.

Each leaf is one sentence (its docstring is the default message), one stable ``code``,
one HTTP ``status``. ``docs/errors.md`` has a row for each; a test holds the two together.

* OneScanError
  x UsageError                       the command line or a setting is wrong
    + CompilerMissingError           no TensorRT or no GPU to compile engines
    + OtherEngineError               an engine of another GPU or TensorRT
    + NetworkRefusedError            a network of others that does not keep the contract
      - NetworkCodeError             a file that can run code
    + CapacityFileError              a file of the capacity simulation
  x RequestError                     4xx, the caller can fix it
    + UnauthorizedError              401
      - InvalidTokenError            401, a token of the identity provider
    + ForbiddenError                 403
      - CsrfError                    403, a cookie without its token
      - HiddenError                  403, findings before the reader has marked his own
    + SignInError                    400
    + RateLimitedError               429, too many requests a minute
      - QuotaExceededError           429, studies, bytes or screenings
      - TooManyFailuresError         429, wrong credentials from one address
    + NotFoundError                  404
    + ConflictError                  409
      - StaleDraftError              409, a review was saved from elsewhere
      - SignedMeanwhileError         409, another reader was first
      - SupersededError              409, the study was screened again
      - UndecidedError               409, something that is shown has no decision
      - SignedError                  409, what is signed is not changed
    + InvalidReviewError             400
    + PayloadTooLargeError           413
    + NotAcceptableError             406
    + UnsupportedMediaTypeError      415
    + InvalidMultipartError          400
    + InvalidJsonError               400
    + InvalidQueryError              400
      - UnknownQueryKeyError         400
    + InvalidCallbackError           400
    + UnknownCheckError              400
    + UnknownSourceError             400
    + InvalidClinicalError           400
      - UnknownClinicalError         400
      - ClinicalUnitError            400
      - AmbiguousClinicalError       400
      - ClinicalRangeError           400
    + NoInputError                   400
    + UnsafeArchiveError             400
    + ArchiveTooLargeError           413
    + EncryptedArchiveError          400
    + InvalidArchiveError            400
  x InstanceError                    one instance is refused, its neighbours are kept
    + NotDicomError
    + TruncatedInstanceError
    + MissingUidError
    + InvalidUidError
    + NoPixelDataError
    + InvalidHeaderError
    + InstanceTooLargeError
    + UnsupportedPartError           a part of a request that is not application/dicom
    + WrongStudyError
    + DifferentPixelsError           a known SOP Instance UID with other pixels or geometry
    + MismatchedCommandError         C-STORE: the data set is not what its command says
  x SeriesError                      422, well-formed DICOM that cannot be screened
    + NoSuitableSeriesError
    + WrongModalityError
    + SecondaryCaptureError
    + LocalizerError
    + UnsupportedTransferSyntaxError
    + LossyCompressionError
    + MissingAttributeError
    + ZeroRescaleSlopeError
    + TooFewSlicesError
    + MissingSlicesError
    + DuplicateSlicesError
    + MixedOrientationError
    + MixedGeometryError
    + InvalidGeometryError           positions or orientations contradict themselves
    + DerivedImagesError             reformats, projections, screens, material maps
    + TiltTooLargeError
    + PixelDataError                 pixel bytes do not decode
    + AirOutOfRangeError
    + IdentityConflictError          more than one patient or frame of reference
    + PatientTooYoungError
    + AgeUnknownError
  x IdentityProviderError            503
  x OverloadedError                  429
  x StorageFullError                 507
  x FolderOfAnotherNodeError         500, a folder of objects serves one node
  x StoreUnavailableError            503
  x MigrationError                   500, the database is not as an earlier release left it
  x BackupError                      500, a backup or restore did not come to its end
    + NoBackupError                  404
    + DamagedBackupError             something of it is missing or changed
    + NewerBackupError               409, of a newer release
    + TargetNotEmptyError            409, nothing is restored over something
    + BackupBusyError                409, another process writes to the folder
    + BackupToolsError               no pg_dump or pg_restore of the right version
    + ObjectMissingError             a row points at an object that the store has not
  x ModelError                       5xx, ours or Triton's
    + ModelUnavailableError          503
    + ModelTimeoutError              504
    + ModelOutputError               502
    + StubDiedError                  503, this Triton must be restarted
      - TritonDiedError              503, it died of this study or beside it, and comes back
  x DimseError                       a message of an association makes no sense; it is aborted
    + PduError
  x PacsError                        502, an archive did not do what we asked
    + PacsUnreachableError           503
    + PacsClosedError                503, outside of its hours
    + PacsNotFoundError              404
    + PacsIncompleteError            502
  x ManifestError                    500, a pipeline.toml breaks its contract
  x CompileBusyError                 503, another process compiles the same engine
  x ParityFailedError                500, an engine answers otherwise than its network
  x ThresholdSetError                500, a site's thresholds cannot be read
  x SourceError                      502, a remote source did not do what we asked
    + SourceUnreachableError         503
    + SourceNotFoundError            404
    + SourceRefusedError             502
    + SourceTooLargeError            413
    + SeveralStudiesError            409
    + SourceUnsupportedError         501
    + SourceOutsideHoursError        503
  x ResultMakingError                503, the objects of a result could not be made
  x PartnersError                    500, the partners file cannot be read
  x ClusterError                     502, Kubernetes or what stands beside it did not answer well
    + ClusterUnavailableError        503
    + ClusterForbiddenError          403
    + ClusterNotFoundError           404
    + ClusterConflictError           409
    + DrainTimeoutError              504
  x DamagedReviewError               500, a signed review is not what was signed
  x StaleAttemptError                409, a late worker's write is refused
  x RuntimeFailure                   an embedded server did not start or stay up
"""

from __future__ import annotations

from typing import ClassVar


class OneScanError(Exception):
    """OneScan could not do what was asked."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])


class UsageError(OneScanError):
    """The command was not understood."""

    code = "usage"
    status = 400


class CompilerMissingError(UsageError):
    """What engines are made with, or the GPU that they are made for, is not here."""

    code = "compile.no_compiler"


class OtherEngineError(UsageError):
    """The engine was made for another GPU or another TensorRT."""

    code = "compile.other_machine"


class NetworkRefusedError(UsageError):
    """The network does not keep the contract of the model repository."""

    code = "import.refused"


class NetworkCodeError(NetworkRefusedError):
    """A file of the network can run code, which was not asked for."""

    code = "import.code"


class CapacityFileError(UsageError):
    """A file of the capacity simulation is not as it has to be."""

    code = "capacity.file"


# --- requests -------------------------------------------------------------------------


class RequestError(OneScanError):
    """The request cannot be served as it stands."""

    code = "request.invalid"
    status = 400


class UnauthorizedError(RequestError):
    """A valid API key is required."""

    code = "request.unauthorized"
    status = 401


class ForbiddenError(RequestError):
    """This key may not do that."""

    code = "request.forbidden"
    status = 403


class InvalidTokenError(UnauthorizedError):
    """The token is not valid here."""

    code = "request.invalid_token"


class CsrfError(ForbiddenError):
    """A session's request that changes something has to carry the session's CSRF token."""

    code = "request.csrf"


class SignInError(RequestError):
    """Signing in did not come to its end; begin again."""

    code = "request.sign_in"


class RateLimitedError(RequestError):
    """The tenant has sent more requests in this minute than it may."""

    code = "request.rate_limited"
    status = 429

    def __init__(self, message: str | None = None, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        """When it is worth trying again."""


class QuotaExceededError(RateLimitedError):
    """The tenant has used up a quota."""

    code = "request.quota_exceeded"


class TooManyFailuresError(RateLimitedError):
    """Too many requests from this address carried wrong credentials."""

    code = "request.too_many_failures"


class NotFoundError(RequestError):
    """There is nothing of that name here."""

    code = "request.not_found"
    status = 404


class ConflictError(RequestError):
    """The request conflicts with what is already there."""

    code = "request.conflict"
    status = 409


class HiddenError(ForbiddenError):
    """The findings are hidden until the reader has marked his own."""

    code = "review.hidden"


class StaleDraftError(ConflictError):
    """The draft was saved from elsewhere since it was read; what is kept stays as it is."""

    code = "review.stale_draft"


class SignedMeanwhileError(ConflictError):
    """Another reader has signed first; the draft stays as it is."""

    code = "review.signed_meanwhile"


class SupersededError(ConflictError):
    """The study was screened again; the draft stays as it is."""

    code = "review.superseded"


class UndecidedError(ConflictError):
    """Something that a check shows has no decision yet."""

    code = "review.undecided"


class SignedError(ConflictError):
    """A signed review is not changed; an amendment is a new review."""

    code = "review.signed"


class InvalidReviewError(RequestError):
    """The review holds something that no review may say."""

    code = "review.invalid"


class PayloadTooLargeError(RequestError):
    """The body or one of its parts is larger than the limit."""

    code = "request.payload_too_large"
    status = 413


class NotAcceptableError(RequestError):
    """The answer is given in none of the forms that the request takes."""

    code = "request.not_acceptable"
    status = 406


class UnsupportedMediaTypeError(RequestError):
    """The content type is not one that is taken here."""

    code = "request.unsupported_media_type"
    status = 415


class InvalidMultipartError(RequestError):
    """The multipart body is not well formed."""

    code = "request.invalid_multipart"


class InvalidJsonError(RequestError):
    """The body is not the JSON that this endpoint takes."""

    code = "request.invalid_json"


class InvalidQueryError(RequestError):
    """A query parameter has a value that is not one of its kind."""

    code = "request.invalid_query"


class UnknownQueryKeyError(InvalidQueryError):
    """A query parameter is not one that is known here."""

    code = "request.unknown_query_key"


class InvalidCallbackError(RequestError):
    """The callback URL is not one that is called."""

    code = "request.invalid_callback"


class UnknownCheckError(RequestError):
    """No check of that name is installed."""

    code = "request.unknown_check"


class UnknownSourceError(RequestError):
    """No remote source of that name may be asked."""

    code = "request.unknown_source"


class InvalidClinicalError(RequestError):
    """A clinical input has the wrong type, unit or range."""

    code = "request.invalid_clinical"


class UnknownClinicalError(InvalidClinicalError):
    """No clinical input of that name is known."""

    code = "request.unknown_clinical"


class ClinicalUnitError(InvalidClinicalError):
    """A clinical input is in a unit that is not taken."""

    code = "request.clinical_unit"


class AmbiguousClinicalError(InvalidClinicalError):
    """A plain number would make sense in another unit too; its unit has to be sent with it."""

    code = "request.clinical_ambiguous"


class ClinicalRangeError(InvalidClinicalError):
    """A clinical input lies outside of its range."""

    code = "request.clinical_out_of_range"


class NoInputError(RequestError):
    """No DICOM instance was found in what was given."""

    code = "request.no_input"


class UnsafeArchiveError(RequestError):
    """An archive member would leave the folder it is unpacked in."""

    code = "archive.unsafe_path"


class ArchiveTooLargeError(RequestError):
    """An archive unpacks to more than the limit."""

    code = "archive.too_large"
    status = 413


class EncryptedArchiveError(RequestError):
    """The archive is encrypted; it has to be unpacked first."""

    code = "archive.encrypted"


class InvalidArchiveError(RequestError):
    """The archive is damaged or of an unknown kind."""

    code = "archive.invalid"


# --- one instance ---------------------------------------------------------------------


class InstanceError(OneScanError):
    """This instance cannot be taken."""

    code = "instance.invalid"
    status = 409
    failure_reason: ClassVar[int] = 0xC000
    """(0008,1197) *Failure Reason* of PS3.18 I.2.2: C000 cannot understand."""


class NotDicomError(InstanceError):
    """The file is not DICOM Part 10."""

    code = "instance.not_dicom"


class TruncatedInstanceError(InstanceError):
    """The file ends before its pixel data does."""

    code = "instance.truncated"


class MissingUidError(InstanceError):
    """Study, Series or SOP Instance UID, or SOP Class UID, is missing or empty."""

    code = "instance.missing_uid"
    failure_reason = 0xA900


class InvalidUidError(InstanceError):
    """A UID is not well formed."""

    code = "instance.invalid_uid"
    failure_reason = 0xA900


class NoPixelDataError(InstanceError):
    """An image object has no pixel data."""

    code = "instance.no_pixel_data"
    failure_reason = 0xA900


class InvalidHeaderError(InstanceError):
    """An attribute that describes the pixels is missing or contradicts the others."""

    code = "instance.invalid_header"
    failure_reason = 0xA900


class InstanceTooLargeError(InstanceError):
    """The instance is larger than the limit."""

    code = "instance.too_large"
    status = 413
    failure_reason = 0xA700


class UnsupportedPartError(InstanceError):
    """The part of the request is not application/dicom."""

    code = "instance.unsupported_part"
    status = 415


class WrongStudyError(InstanceError):
    """The instance belongs to another study than the address names."""

    code = "instance.wrong_study"
    failure_reason = 0x0110


class DifferentPixelsError(InstanceError):
    """This SOP Instance UID is known with other pixels or another geometry."""

    code = "instance.different_pixels"
    failure_reason = 0x0111


class MismatchedCommandError(InstanceError):
    """The data set is of another SOP class or instance than its command says."""

    code = "instance.mismatched_command"
    failure_reason = 0xA900


# --- one series -----------------------------------------------------------------------


class SeriesError(OneScanError):
    """The series cannot be screened."""

    code = "series.invalid"
    status = 422


class NoSuitableSeriesError(SeriesError):
    """No series of the study is fit for the check."""

    code = "series.none_suitable"


class WrongModalityError(SeriesError):
    """The series is not CT."""

    code = "series.wrong_modality"


class SecondaryCaptureError(SeriesError):
    """The series is a Secondary Capture, whatever its Modality says."""

    code = "series.secondary_capture"


class LocalizerError(SeriesError):
    """The series is a localizer."""

    code = "series.localizer"


class UnsupportedTransferSyntaxError(SeriesError):
    """The transfer syntax has no decoder here."""

    code = "series.unsupported_transfer_syntax"


class LossyCompressionError(SeriesError):
    """Lossy compression changes HU, so nothing is measured on this series."""

    code = "series.lossy_compression"


class MissingAttributeError(SeriesError):
    """An attribute that geometry or HU need is missing."""

    code = "series.missing_attribute"


class ZeroRescaleSlopeError(SeriesError):
    """Rescale Slope is zero."""

    code = "series.zero_rescale_slope"


class TooFewSlicesError(SeriesError):
    """The series has too few slices to be a volume."""

    code = "series.too_few_slices"


class MissingSlicesError(SeriesError):
    """Slices are missing from the series."""

    code = "series.missing_slices"


class DuplicateSlicesError(SeriesError):
    """Two slices of the series lie at the same place."""

    code = "series.duplicate_slices"


class MixedOrientationError(SeriesError):
    """Slices of the series have different orientations."""

    code = "series.mixed_orientation"


class MixedGeometryError(SeriesError):
    """Slices of the series have different sizes or pixel spacings."""

    code = "series.mixed_geometry"


class InvalidGeometryError(SeriesError):
    """Positions, orientations or spacings of the slices contradict themselves."""

    code = "series.invalid_geometry"


class DerivedImagesError(SeriesError):
    """The series holds reformats, projections, maps or screens, not acquired slices."""

    code = "series.derived"


class TiltTooLargeError(SeriesError):
    """The gantry tilt is too large to be corrected."""

    code = "series.tilt_too_large"


class PixelDataError(SeriesError):
    """The pixel data of a slice cannot be decoded."""

    code = "series.pixel_data"


class AirOutOfRangeError(SeriesError):
    """Air around the patient is not near -1000 HU, so the HU scale cannot be trusted."""

    code = "series.air_out_of_range"


class PatientTooYoungError(SeriesError):
    """The patient is younger than the checks allow."""

    code = "series.patient_too_young"


class AgeUnknownError(SeriesError):
    """The patient's age is not known, and this site screens nobody without it."""

    code = "series.age_unknown"


class IdentityConflictError(SeriesError):
    """The images belong to more than one patient or frame of reference."""

    code = "series.identity_conflict"


# --- load, storage, models, runtime ------------------------------------------------------


class OverloadedError(OneScanError):
    """The server is busy; try again later."""

    code = "overloaded"
    status = 429


class IntakeSuspendedError(OneScanError):
    """An operator has suspended the intake; try again later."""

    code = "intake.suspended"
    status = 503
    retry_after_seconds = 30.0


class IdentityProviderError(OneScanError):
    """The identity provider cannot be reached or does not answer as it should."""

    code = "oidc.unavailable"
    status = 503


class StorageFullError(OneScanError):
    """The storage is full; nothing was kept."""

    code = "storage.full"
    status = 507


class FolderOfAnotherNodeError(OneScanError):
    """The folder of objects belongs to another node."""

    code = "storage.other_node"
    status = 500


class StoreUnavailableError(OneScanError):
    """The database or the object store cannot be reached; try again."""

    code = "store.unavailable"
    status = 503


class MigrationError(OneScanError):
    """The database cannot be brought to this version's schema; nothing of it was changed."""

    code = "store.migration"


class BackupError(OneScanError):
    """The backup or restore did not come to its end."""

    code = "backup.failed"


class NoBackupError(BackupError):
    """There is no complete backup there."""

    code = "backup.not_found"
    status = 404


class DamagedBackupError(BackupError):
    """Something of the backup is missing or changed."""

    code = "backup.damaged"


class NewerBackupError(BackupError):
    """The schema is of a newer release than this one."""

    code = "backup.newer"
    status = 409


class TargetNotEmptyError(BackupError):
    """There is something already where the backup would be restored."""

    code = "backup.target_not_empty"
    status = 409


class BackupBusyError(BackupError):
    """Another process is at work in the backup's folder."""

    code = "backup.busy"
    status = 409


class BackupToolsError(BackupError):
    """PostgreSQL's client programs of the right version are missing."""

    code = "backup.tools"


class ObjectMissingError(BackupError):
    """A row points at an object that the store does not have."""

    code = "backup.object_missing"


class ModelError(OneScanError):
    """A model did not answer as it should."""

    code = "model.failed"
    status = 502


class ModelUnavailableError(ModelError):
    """Triton or the model is not ready."""

    code = "model.unavailable"
    status = 503


class ModelTimeoutError(ModelError):
    """The model did not answer in time."""

    code = "model.timeout"
    status = 504


class ModelOutputError(ModelError):
    """The model's output breaks its contract."""

    code = "model.output"


class StubDiedError(ModelUnavailableError):
    """A Python stub of Triton died; Triton must be restarted."""

    code = "model.stub_died"
    sent_seconds: float = 0.0
    """When the failed call was sent, in seconds after boot; a younger Triton is not at fault."""


class TritonDiedError(StubDiedError):
    """Triton died, and died again when it was asked the same."""

    code = "model.triton_died"


class DimseError(OneScanError):
    """A DIMSE message breaks the standard, so its association is aborted."""

    code = "dimse.message"
    status = 400


class PduError(DimseError):
    """A PDU breaks the standard, so its association is aborted."""

    code = "dimse.pdu"

    def __init__(self, message: str | None = None, reason: int = 0) -> None:
        super().__init__(message)
        self.reason = reason
        """Of the A-ABORT, PS3.8, 9.3.8."""


class PacsError(OneScanError):
    """An archive did not do what it was asked."""

    code = "pacs.failed"
    status = 502


class PacsUnreachableError(PacsError):
    """An archive does not answer."""

    code = "pacs.unreachable"
    status = 503


class PacsClosedError(PacsError):
    """An archive may not be asked at this hour."""

    code = "pacs.closed"
    status = 503


class PacsNotFoundError(PacsError):
    """An archive has nothing of what was asked for."""

    code = "pacs.not_found"
    status = 404


class PacsIncompleteError(PacsError):
    """An archive gave only a part of what was asked for."""

    code = "pacs.incomplete"


class ManifestError(OneScanError):
    """A pipeline manifest breaks its contract."""

    code = "manifest.invalid"


class CompileBusyError(OneScanError):
    """Another process still compiles the same engine."""

    code = "compile.busy"
    status = 503


class ParityFailedError(OneScanError):
    """The engine answers otherwise than its network in ONNX Runtime; it replaces nothing."""

    code = "compile.parity"


class ThresholdSetError(OneScanError):
    """A site's threshold set cannot be read."""

    code = "thresholds.invalid"


class SourceError(OneScanError):
    """The remote source's answer is not a study."""

    code = "source.invalid"
    status = 502


class SourceUnreachableError(SourceError):
    """The remote source cannot be reached, or is busy."""

    code = "source.unreachable"
    status = 503


class SourceNotFoundError(SourceError):
    """The remote source has no such study."""

    code = "source.not_found"
    status = 404


class SourceRefusedError(SourceError):
    """The remote source refuses the request."""

    code = "source.refused"


class SourceTooLargeError(SourceError):
    """The remote source sends more than a study may have."""

    code = "source.too_large"
    status = 413


class SeveralStudiesError(SourceError):
    """The prefix holds several studies, and the request names none of them."""

    code = "source.several_studies"
    status = 409


class SourceUnsupportedError(SourceError):
    """The source is no longer one that this tenant may name."""

    code = "source.unsupported"
    status = 501


class SourceOutsideHoursError(SourceError):
    """The archive may not be asked at this hour; it is asked when its hours begin."""

    code = "source.outside_hours"
    status = 503

    def __init__(self, message: str | None = None, *, retry_after_seconds: float = 60.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ResultMakingError(OneScanError):
    """The objects of a result could not be made."""

    code = "result.not_made"
    status = 503


class PartnersError(OneScanError):
    """The partners file breaks its form."""

    code = "partners.invalid"


class ClusterError(OneScanError):
    """The Kubernetes cluster did not answer as it should."""

    code = "cluster.failed"
    status = 502


class ClusterUnavailableError(ClusterError):
    """No Kubernetes cluster can be reached."""

    code = "cluster.unavailable"
    status = 503


class ClusterForbiddenError(ClusterError):
    """The Kubernetes cluster does not let us do that."""

    code = "cluster.forbidden"
    status = 403


class ClusterNotFoundError(ClusterError):
    """The Kubernetes cluster has no such object."""

    code = "cluster.not_found"
    status = 404


class ClusterConflictError(ClusterError):
    """The object in the Kubernetes cluster is another one by now."""

    code = "cluster.conflict"
    status = 409


class DrainTimeoutError(ClusterError):
    """What is drained still has work in hand when the time is over."""

    code = "cluster.drain_timeout"
    status = 504


class DamagedReviewError(OneScanError):
    """The record of a signed review does not fit its digest and is not shown."""

    code = "review.damaged"


class StaleAttemptError(OneScanError):
    """The attempt at the screening was given up; its write was refused."""

    code = "screening.stale_attempt"
    status = 409


class RuntimeFailure(OneScanError):
    """An embedded server could not be started or kept up."""

    code = "runtime.failed"
    status = 503
