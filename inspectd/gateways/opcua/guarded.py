"""asyncua 2.1's server as it can be given to a plant's network. Each class says what it corrects."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, Final

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_session import SessionState
from asyncua.server.uaprocessor import UaProcessor

from inspectd.gateways.clock import ArrivalClock
from inspectd.gateways.opcua.access import CAME, SERVICES, PlantUsers
from inspectd.gateways.opcua.audit import PlantAudit
from inspectd.gateways.opcua.certificates import CertificateFolder
from inspectd.gateways.opcua.guarded_sessions import GuardedInternalServer, GuardedSession

MOST_QUEUED: Final = 1000
"""Values or events that wait of one monitored item."""
LOGIN_SECONDS: Final = 1.0
"""A connection that has not logged in by then makes room for another, where there is none."""
ACTIVATION_SECONDS: Final = 10.0
"""A connection that has not logged in by then is ended."""
MOST_UNREAD_BYTES: Final = 1 << 20
"""A client that does not read its answers is ended beyond it."""

_CREATE, _ACTIVATE = (
    ua.NodeId(getattr(ua.ObjectIds, f"{name}SessionRequest_Encoding_DefaultBinary"))
    for name in ("Create", "Activate")
)
_DISCOVERY: Final = {
    ua.NodeId(ua.ObjectIds.GetEndpointsRequest_Encoding_DefaultBinary),
    ua.NodeId(ua.ObjectIds.FindServersRequest_Encoding_DefaultBinary),
}


class GuardedProcessor(UaProcessor):
    """Serves nothing but discovery without encryption, and leaves no session of a client that was refused.

    asyncua opens a channel without security to everybody, for discovery, and answers all there is on it; it
    takes registrations of other servers from anybody, and keeps sessions that were never let in.
    """

    iserver: GuardedInternalServer

    async def _process_message(self, typeid: ua.NodeId, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        if typeid not in SERVICES and self.session is None:
            raise ServiceError(ua.StatusCodes.BadServiceUnsupported)
        is_encrypted = self._connection.security_policy.Mode == ua.MessageSecurityMode.SignAndEncrypt
        if typeid not in _DISCOVERY and not is_encrypted:
            self.iserver.audit.refuse("connect", "", "no_encryption", peer=self._peer)
            raise ServiceError(ua.StatusCodes.BadSecurityModeRejected)
        if typeid == _CREATE and self.session is not None and self.session.state is not SessionState.Closed:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        try:
            done = await super()._process_message(typeid, requesthdr, seqhdr, body)
        except (ServiceError, ua.UaStatusCodeError) as error:
            await self._refused(typeid, error)
            raise
        except Exception:  # a signature that does not fit, or no such message: asyncua answers it
            await self._refused(typeid, ServiceError(ua.StatusCodes.BadSecurityChecksFailed))
            raise
        if typeid == _ACTIVATE and isinstance(self.session, GuardedSession):
            self.iserver.audit.did("login", self.session.user.name or "", peer=self._peer)
        return done

    async def _refused(self, typeid: ua.NodeId, error: Any) -> None:
        cause = ua.StatusCode(error.code).name
        session = self.session if isinstance(self.session, GuardedSession) else None
        applicant = "" if session is None else session.applicant
        if typeid == _CREATE:
            self.iserver.audit.refuse("connect", applicant, cause, peer=self._peer)
            if session is not None:
                await session.close_session()
        elif typeid == _ACTIVATE:
            self.iserver.audit.refuse("login", applicant, cause, peer=self._peer)
        elif session is not None:
            self.iserver.audit.refuse("request", session.user.name or "", cause, peer=self._peer)

    @property
    def _peer(self) -> str:
        return str(self.name[0]) if self.name else ""


class _DatedMessages(asyncio.Queue[tuple[Any, Any]]):
    """The messages of a connection that wait for their turn, each with when it came."""

    def __init__(self, maxsize: int, arrivals: ArrivalClock) -> None:
        super().__init__(maxsize)
        self._arrivals = arrivals

    def put_nowait(self, item: tuple[Any, Any]) -> None:
        """Keep a message; without a header it is the connection's end."""
        header, _ = item
        if header is not None:
            header.came = self._arrivals.came()
        super().put_nowait(item)


class GuardedProtocol(OPCUAProtocol):
    """A connection that dates its requests, and ends at what is no OPC UA and at a client that does not read.

    asyncua keeps whatever a client sends until a message is whole, however long it claims to be, goes on
    after what it could not read, with a traceback for each, and lets those who say nothing keep others out.
    """

    iserver: GuardedInternalServer
    processor: GuardedProcessor | None

    def __init__(self, *args: Any) -> None:
        """Not connected yet."""
        super().__init__(*args)
        bound = self.iserver.max_pending_messages_per_connection
        self.messages = _DatedMessages(bound, self.iserver.arrivals)

    def connection_made(self, transport: Any) -> None:
        """Serve a client; one that has not logged in makes room for it, of the host that has most such."""
        self.since = time.monotonic()
        self.address = str((transport.get_extra_info("peername") or ("",))[0])
        if len(self.clients) >= self.iserver.max_connections:
            self._make_room()
        super().connection_made(transport)
        if self.processor is None:
            self.iserver.audit.cut_off("too_many_connections")
            return
        self.processor = GuardedProcessor(self.iserver, self.transport, self.limits)
        self.processor.set_policies(self.policies)

    def _make_room(self) -> None:
        """End the oldest of the host with most connections that have not logged in.

        A host that has most of all places so gets no time to log in: it would keep others out.
        """
        waiting = [each for each in self.clients if not each.is_logged_in]
        held = Counter(each.address for each in waiting)
        most = max(held.values(), default=0)
        is_crowd = most > held[self.address] + 1 and 2 * most > self.iserver.max_connections
        slow = [each for each in waiting if self.since - each.since > LOGIN_SECONDS]
        crowd = [each for each in (waiting if is_crowd else slow) if held[each.address] == most]
        for each in [*crowd, *slow][:1]:
            each.cut_off("made_room")
            self.clients.remove(each)

    @property
    def is_logged_in(self) -> bool:
        """Somebody has logged in."""
        session = None if self.processor is None else self.processor.session
        return session is not None and session.is_activated()

    def cut_off(self, cause: str) -> None:
        """End it, and count why."""
        self.iserver.audit.cut_off(cause)
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        super().data_received(data)
        if len(self._buffer) > self.limits.max_recv_buffer:
            self.cut_off("too_large")

    async def _process_one_msg(self, header: Any, buf: Any) -> bool:
        CAME.set(header.came)
        try:
            goes_on = await super()._process_one_msg(header, buf)
        except Exception:  # noqa: BLE001 - whatever asyncua raises of it: it is counted, and the connection ends
            self.cut_off("malformed")
            return False
        if self.transport is not None and self.transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            self.cut_off("does_not_read")
            return False
        return bool(goes_on)


class GuardedBinaryServer(BinaryServer):
    """Makes guarded connections."""

    def _make_protocol(self) -> OPCUAProtocol:
        return GuardedProtocol(self.iserver, self._policies, self.clients, self.closing_tasks, self.limits)


class GuardedServer(Server):
    """A server with limits for a plant, which serves Basic256Sha256 with signature and encryption alone."""

    iserver: GuardedInternalServer

    def __init__(
        self, users: PlantUsers, certificates: CertificateFolder, audit: PlantAudit, *, max_connections: int,
        max_subscriptions: int,
    ) -> None:  # fmt: skip
        """Without nodes yet."""
        super().__init__(iserver=GuardedInternalServer(users, certificates, audit))
        self.iserver.max_connections = max_connections
        self.iserver.max_subscriptions = max_subscriptions
        self.iserver.max_monitored_item_queue_size = MOST_QUEUED
        self.iserver.max_unacked_messages_per_subscription = 100
        self.iserver.max_lifetime_count = 3_000
        self.iserver.max_keep_alive_count = 1_000
        self.iserver.max_pending_activation_seconds = ACTIVATION_SECONDS
        self.limits.max_message_size = 1 << 20
        self.limits.max_chunk_count = 16

    @property
    def connections(self) -> int:
        """Connections of clients."""
        return 0 if self.bserver is None else len(self.bserver.clients)

    @property
    def subscriptions(self) -> int:
        """Subscriptions of clients."""
        return len(self.iserver.subscription_service.subscriptions)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        await self._setup_server_nodes()
        await self.iserver.start()
        address, port = self._get_bind_socket_info()
        self.bserver = GuardedBinaryServer(self.iserver, address or "", port or 0, self.limits)
        self.bserver.set_policies(self._policies)
        await self.bserver.start()

    def end_untrusted(self) -> None:
        """End the connections of clients whose certificate is trusted no more."""
        if self.bserver is None or not self.bserver.clients:
            return
        trusted = {each.der for each in self.iserver.certificates.trusted()}
        for client in list(self.bserver.clients):
            session = None if client.processor is None else client.processor.session
            if (
                isinstance(session, GuardedSession)
                and session.is_activated()
                and session.certificate not in trusted
            ):
                self.iserver.audit.refuse("connect", session.user.name or "", "not_trusted_any_more")
                if client.transport is not None:
                    client.transport.abort()
