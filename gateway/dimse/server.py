"""The DIMSE listener: who is admitted, how many, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import prometheus_client

from gateway.dimse.association import Association
from gateway.dimse.depot import Depot
from gateway.dimse.negotiation import APPLICATION_CONTEXT, Proposal
from gateway.dimse.reporter import Reporter
from gateway.dimse.sender import Sender
from gateway.dimse.watch import IntakeWatch
from gateway.exceptions import UsageError
from gateway.intake.partners import Partner, Partners
from gateway.intake.partners_reader import load_partners
from gateway.log import configure_logging, deployment_key, get_logger
from gateway.metrics import DIMSE_OPEN, REGISTRY
from gateway.settings import Settings
from gateway.store.database import Database
from gateway.store.keys import ensure_tenant
from gateway.store.objects import ObjectStore
from gateway.store.open_objects import open_objects
from gateway.tls import server_context

Rejection = tuple[int, int, int]
"""Result, source and reason of an A-ASSOCIATE-RJ (PS3.8, 9.3.4)."""

CONTEXT_NAME: Rejection = (1, 1, 2)
CALLING_UNKNOWN: Rejection = (1, 1, 3)
CALLED_UNKNOWN: Rejection = (1, 1, 7)
CONGESTION: Rejection = (2, 3, 1)
LIMIT_EXCEEDED: Rejection = (2, 3, 2)

HALF_OPEN = 64
"""Connections without an association; more are closed unheard."""

MIN_PDU_BYTES = 4096
"""dcmtk and others refuse to send less."""

OPEN_PARTNER = "open"
"""Partner's name of a peer that only `dimse.open_tenant` lets in."""

TLS_SECONDS = 10.0
"""Of one handshake."""

log = get_logger("onescan.dimse")


class DimseServer:
    """Accepts associations until it is drained.

    Parameters
    ----------
    settings : Settings
        Those of DIMSE, and the largest instance.
    database, objects : Database, ObjectStore
        Open.
    partners : Partners
        Who sends for which tenant.

    Raises
    ------
    UsageError
        When settings contradict each other or TLS files cannot be read.
    """

    def __init__(
        self, settings: Settings, database: Database, objects: ObjectStore, partners: Partners
    ) -> None:
        self.settings = settings.dimse
        self.database = database
        self.draining = False
        self.port = 0
        self.watch = IntakeWatch(database)
        self._partners = partners
        self._executor = ThreadPoolExecutor(2 * self.settings.max_associations + 2, "dimse")
        self.depot = Depot(
            database,
            objects,
            self._executor,
            max_instance_bytes=settings.api.max_instance_bytes,
            patience_seconds=self.settings.patience_seconds,
        )
        self._tls = tls_context(settings)
        self._associations: set[Association] = set()
        self._ended = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._reporter = Reporter(settings.dimse, database, partners.archives)
        if self.settings.max_pdu_bytes < MIN_PDU_BYTES:
            raise UsageError(f"ONESCAN_DIMSE__MAX_PDU_BYTES is less than {MIN_PDU_BYTES}.")

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        UsageError
            When the port cannot be bound.
        """
        tenants = {partner.tenant for partner in self._partners.partners.values()}
        async with self.database.connection() as connection:
            for tenant in sorted(tenants | {self.settings.open_tenant} - {""}):
                await ensure_tenant(connection, tenant)
        await self.watch.start()
        try:
            self._server = await asyncio.start_server(
                self._connected,
                self.settings.host,
                self.settings.port,
                limit=self.settings.max_pdu_bytes,
                ssl=self._tls,
                ssl_handshake_timeout=TLS_SECONDS if self._tls else None,
                backlog=256,
            )
        except OSError as error:
            raise UsageError(
                f"Port {self.settings.port} of {self.settings.host} cannot be used"
                f" ({error.strerror})."
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self._reporter.start()
        log.info("onescan.dimse.started", host=self.settings.host, port=self.port)

    async def drain(self) -> None:
        """Accept nobody, let each association finish its message in hand, then end it."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        log.info("onescan.dimse.draining", associations=len(self._associations))
        await self._reporter.stop()
        await self.watch.stop()
        for association in list(self._associations):
            association.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_seconds):
                await self._all_ended()
        for association in list(self._associations):
            association.cancel()
        await self._all_ended()
        await asyncio.to_thread(self._executor.shutdown)

    async def admit(self, proposal: Proposal, address: str) -> Sender | Rejection:
        """Judge who asks for an association; the reasons are those of PS3.8, 9.3.4."""
        settings = self.settings
        if self.draining:
            return CONGESTION
        if proposal.application_context != APPLICATION_CONTEXT:
            return CONTEXT_NAME
        if settings.called_ae == "exact" and proposal.called != settings.ae_title:
            return CALLED_UNKNOWN
        allowed = [title.strip() for title in settings.allowed_ae_titles.split(",")]
        if any(allowed) and proposal.calling not in allowed:
            return CALLING_UNKNOWN
        partner = self._partners.for_ae(proposal.called, proposal.calling, address)
        if partner is None:
            if not settings.open_tenant:
                return CALLING_UNKNOWN
            partner = Partner(name=OPEN_PARTNER, tenant=settings.open_tenant)
        if sum(item.established for item in self._associations) >= settings.max_associations:
            return LIMIT_EXCEEDED
        return Sender(
            partner=partner,
            calling=proposal.calling,
            called=proposal.called,
            address=address,
        )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        half_open = sum(not item.established for item in self._associations)
        if self.draining or half_open >= HALF_OPEN:
            writer.transport.abort()
            return
        if (raw := writer.get_extra_info("socket")) is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        association = Association(self, reader, writer)
        self._associations.add(association)
        self._count()
        try:
            await association.run()
        finally:
            self._associations.discard(association)
            self._count()

    def _count(self) -> None:
        DIMSE_OPEN.set(len(self._associations))
        if self._associations:
            self._ended.clear()
        else:
            self._ended.set()

    async def _all_ended(self) -> None:
        if self._associations:
            await self._ended.wait()


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Make the context of the listener; None where no certificate is set.

    TLS 1.2 and later, as the BCP 195 profile of PS3.15, B.9 asks. With a client CA a peer without
    a certificate of it is refused.

    Raises
    ------
    UsageError
        When a file is missing or makes no sense.
    """
    dimse = settings.dimse
    if not dimse.certificate:
        if dimse.key or dimse.client_ca:
            raise UsageError("ONESCAN_DIMSE__KEY and __CLIENT_CA need ONESCAN_DIMSE__CERTIFICATE.")
        return None
    return server_context("ONESCAN_DIMSE__", dimse.certificate, dimse.key, dimse.client_ca)


async def serve(settings: Settings) -> None:
    """Run the listener until SIGTERM or SIGINT.

    Raises
    ------
    UsageError
        When database or port are missing or a setting makes no sense.
    PartnersError
        When the partners file breaks its form.
    """
    if not settings.store.database_url:
        raise UsageError("DATABASE_URL is not set.")
    configure_logging("dimse", deployment_key(settings.home, settings.log.key))
    partners = load_partners(settings)
    if settings.dimse.metrics_port:
        prometheus_client.start_http_server(
            settings.dimse.metrics_port, addr=settings.dimse.metrics_host, registry=REGISTRY
        )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        size = max(settings.store.pool_size, min(settings.dimse.max_associations, 16))
        database = await stack.enter_async_context(Database(settings.store.database_url, size=size))
        objects = await asyncio.to_thread(open_objects, settings)
        await asyncio.to_thread(objects.sweep_temporary)
        server = DimseServer(settings, database, objects, partners)
        await server.start()
        await stopped.wait()
        await server.drain()
