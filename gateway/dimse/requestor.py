"""One association with a peer, asked for by us: pynetdicom in a thread."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.transport import AssociationSocket

from gateway.dimse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from gateway.dimse.archive import ArchiveProfile
from gateway.exceptions import PacsError, PacsUnreachableError

_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False


def _close_always(self: AssociationSocket) -> None:
    """Close the socket also when it was never connected, which pynetdicom's own leaves open."""
    if self.socket is not None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


AssociationSocket._shutdown_socket = _close_always  # type: ignore[method-assign]

REJECTIONS = {
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognised",
    (1, 7): "called AE title not recognised",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
"""Source and reason of an A-ASSOCIATE-RJ."""

MAX_PDU_BYTES = 256 * 1024

T = TypeVar("T")

Contexts = Iterable[tuple[str, Sequence[str]]]
"""Abstract syntax and transfer syntaxes of each presentation context."""


class Requestor:
    """Opens one association at a time and closes it, whatever happens in between.

    Parameters
    ----------
    profile : ArchiveProfile
        Whom to ask, and how.
    """

    def __init__(self, profile: ArchiveProfile) -> None:
        self._profile = profile
        self._association: Association | None = None
        self._cancelled = False

    async def run(self, work: Callable[[Requestor], T]) -> T:
        """Run blocking work in a thread; when cancelled, abort the association and wait.

        Parameters
        ----------
        work : callable
            Given this requestor.
        """
        task = asyncio.ensure_future(asyncio.to_thread(work, self))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._cancelled = True
            if self._association is not None:
                await asyncio.to_thread(self._association.abort)
            await asyncio.wait([task])
            task.exception()
            raise

    @contextmanager
    def association(
        self,
        contexts: Contexts,
        *,
        roles: Iterable[str] = (),
        handlers: Sequence[tuple[Any, Any]] = (),
    ) -> Iterator[Association]:
        """Associate; blocks.

        Parameters
        ----------
        contexts : iterable
            What is proposed.
        roles : iterable of str
            SOP classes of which we want to be the SCP.
        handlers : sequence
            pynetdicom's events and what handles them.

        Raises
        ------
        PacsUnreachableError
            When nobody answers.
        PacsError
            When the peer rejects, or accepts nothing of what is proposed.
        """
        profile = self._profile
        ae = AE(ae_title=profile.calling)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.connection_timeout = ae.acse_timeout = profile.timeout_seconds
        ae.dimse_timeout = ae.network_timeout = profile.timeout_seconds
        for abstract, syntaxes in contexts:
            ae.add_requested_context(abstract, list(syntaxes))
        try:
            association = ae.associate(
                profile.host,
                profile.port,
                ae_title=profile.ae_title,
                max_pdu=MAX_PDU_BYTES,
                ext_neg=[_as_scp(uid) for uid in roles],
                tls_args=self._tls(),
                evt_handlers=list(handlers),
            )
        except OSError as error:  # the name of the host
            raise PacsUnreachableError(f"{profile.name} has no address.") from error
        self._association = association
        try:
            if not association.is_established or self._cancelled:
                raise self._why_not(association)
            yield association
        finally:
            self._association = None
            if association.is_established:
                association.release()
            if not (association.is_released or association.is_aborted):
                association.abort()
            if association.dul.socket is not None:
                association.dul.socket.close()  # a peer that aborts leaves it open

    def _why_not(self, association: Association) -> PacsError:
        name = self._profile.name
        told = association.acceptor.primitive
        if association.is_rejected and told is not None:
            where = (told.result_source or 0, told.diagnostic or 0)
            reason = REJECTIONS.get(where, "no reason given")
            return PacsError(f"{name} rejects the association: {reason}.")
        if told is not None:
            return PacsError(f"{name} accepts none of the SOP classes that were proposed.")
        return PacsUnreachableError(f"{name} does not answer.")

    def _tls(self) -> tuple[ssl.SSLContext, str] | None:
        profile = self._profile
        if not profile.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=profile.ca or None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if profile.certificate:
                context.load_cert_chain(profile.certificate, profile.key or None)
        except (OSError, ssl.SSLError) as error:
            raise PacsError(
                f"{profile.name}: its CA, certificate or key cannot be used."
            ) from error
        return context, profile.host


def _as_scp(uid: str) -> SCP_SCU_RoleSelectionNegotiation:
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid = uid
    role.scu_role, role.scp_role = False, True
    return role
