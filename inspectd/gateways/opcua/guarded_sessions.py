"""Sessions and subscriptions of asyncua 2.1 as a plant can have them. Each class says what it corrects."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.subscription_service import SubscriptionService
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from inspectd.errors import UnavailableError
from inspectd.gateways.clock import ArrivalClock
from inspectd.gateways.opcua.access import PlantUsers
from inspectd.gateways.opcua.audit import PlantAudit
from inspectd.gateways.opcua.certificates import CertificateFolder, application_uri
from inspectd.gateways.opcua.guarded_items import GuardedItems

SHORTEST_INTERVAL_MS: Final = 10.0
LONGEST_INTERVAL_MS: Final = 10_000.0
MOST_ITEMS: Final = 1000
"""Monitored items of one subscription."""

_VALID: Final = (
    CertificateValidatorOptions.TIME_RANGE
    | CertificateValidatorOptions.URI
    | CertificateValidatorOptions.KEY_USAGE
    | CertificateValidatorOptions.EXT_KEY_USAGE
    | CertificateValidatorOptions.PEER_CLIENT
)


class GuardedSubscriptions(SubscriptionService):
    """Answers a republish of what is gone as the specification says, and lets no client publish too often.

    asyncua answers Good and an empty message; a client that was there before a restart then asks for ever.
    It takes any publishing interval, of which one of 0.01 ms takes half a core.
    """

    async def create_subscription(
        self, params: ua.CreateSubscriptionParameters, callback: Callable[..., Any], session_id: ua.NodeId,
        request_callback: Callable[..., Any] | None = None,
    ) -> ua.CreateSubscriptionResult:  # fmt: skip
        """As asked for, with an interval within bounds."""
        interval = max(
            SHORTEST_INTERVAL_MS, params.RequestedPublishingInterval
        )  # in this order: of NaN the first
        params.RequestedPublishingInterval = min(LONGEST_INTERVAL_MS, interval)
        made = await super().create_subscription(params, callback, session_id, request_callback)
        subscription = self.subscriptions[made.SubscriptionId]
        subscription.monitored_item_srv = GuardedItems(subscription, self.aspace)
        return made

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        """What was published; a refusal if it is not kept."""
        if params.SubscriptionId not in self.subscriptions:
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)
        message = super().republish(params)
        if not message.NotificationData:
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        return message


class GuardedSession(InternalSession):
    """A session that belongs to one certificate, under a name that nobody can guess.

    asyncua counts its tokens up from 1000, and a channel that only names another's token acts in that one's
    name; it compares a client's certificate with nothing, and lets any session take, silence or empty
    another's subscriptions.
    """

    def __init__(self, server: GuardedInternalServer, name: str) -> None:
        """Not logged in yet."""
        super().__init__(server, server.aspace, server.subscription_service, name)
        self.auth_token = ua.NodeId(secrets.token_bytes(32), 0, ua.NodeIdType.ByteString)
        self.external = True
        server.register_external_session(self)
        self.certificate = b""
        self.applicant = ""
        """Who tries to log in, for the record."""

    async def create_session(
        self, params: ua.CreateSessionParameters, sockname: tuple[str, int] | None = None
    ) -> ua.CreateSessionResult:
        """Begin a session of a trusted certificate."""
        self.certificate = params.ClientCertificate or b""
        self.applicant = params.ClientDescription.ApplicationUri or ""
        if not self.certificate:
            raise ServiceError(ua.StatusCodes.BadCertificateInvalid)
        return await super().create_session(params, sockname)

    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None
    ) -> ua.ActivateSessionResult:
        """Log a user in, on a channel of the same certificate."""
        self.applicant = getattr(params.UserIdentityToken, "UserName", None) or "anonymous"
        if peer_certificate != self.certificate:
            raise ServiceError(ua.StatusCodes.BadSecurityChecksFailed)
        return super().activate_session(params, peer_certificate)

    async def create_subscription(
        self, params: ua.CreateSubscriptionParameters, callback: Callable[..., Any],
        request_callback: Callable[..., Any] | None = None,
    ) -> ua.CreateSubscriptionResult:  # fmt: skip
        """A subscription of this user, also after this session."""
        made = await super().create_subscription(params, callback, request_callback)
        subscription: Any = self.subscription_service.subscriptions[made.SubscriptionId]
        subscription.user = self.user.name
        return made

    async def create_monitored_items(self, params: ua.CreateMonitoredItemsParameters) -> Any:
        """As asked for, within bounds."""
        self._refuse_foreign([params.SubscriptionId])
        subscription = self.subscription_service.subscriptions.get(params.SubscriptionId)
        there = 0 if subscription is None else len(subscription.monitored_item_srv._monitored_items)  # noqa: SLF001 - asyncua counts them nowhere else
        if there + len(params.ItemsToCreate) > MOST_ITEMS:
            raise ServiceError(ua.StatusCodes.BadTooManyMonitoredItems)
        return await super().create_monitored_items(params)

    async def modify_monitored_items(self, params: ua.ModifyMonitoredItemsParameters) -> Any:
        """Of its own."""
        self._refuse_foreign([params.SubscriptionId])
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(self, params: ua.DeleteMonitoredItemsParameters) -> Any:
        """Of its own."""
        self._refuse_foreign([params.SubscriptionId])
        return await super().delete_monitored_items(params)

    async def set_monitoring_mode(self, params: ua.SetMonitoringModeParameters) -> Any:
        """Of its own."""
        self._refuse_foreign([params.SubscriptionId])
        return await super().set_monitoring_mode(params)

    async def set_publishing_mode(self, params: ua.SetPublishingModeParameters) -> Any:
        """Of its own."""
        self._refuse_foreign(params.SubscriptionIds)
        return await super().set_publishing_mode(params)

    def modify_subscription(self, params: ua.ModifySubscriptionParameters) -> Any:
        """Its own."""
        self._refuse_foreign([params.SubscriptionId])
        return super().modify_subscription(params)

    def publish(self, acks: Iterable[Any] | None = None) -> Any:
        """Acknowledge what came of its own."""
        acks = list(acks or [])
        self._refuse_foreign(each.SubscriptionId for each in acks)
        return super().publish(acks)

    def republish(self, params: ua.RepublishParameters) -> Any:
        """What was published of its own."""
        self._refuse_foreign([params.SubscriptionId])
        return super().republish(params)

    async def delete_subscriptions(self, ids: list[int]) -> Any:
        """Delete its own."""
        self._refuse_foreign(ids)
        return await super().delete_subscriptions(ids)

    async def transfer_subscriptions(
        self, params: ua.TransferSubscriptionsParameters, callback: Callable[..., Any]
    ) -> Any:
        """Take over those of the same user."""
        self._refuse_foreign(params.SubscriptionIds)
        return await super().transfer_subscriptions(params, callback)

    def _refuse_foreign(self, ids: Iterable[int]) -> None:
        """A user's subscriptions are nobody else's business, in whichever service one is named."""
        for number in ids or []:  # asyncua's empty list may be None
            subscription: Any = self.subscription_service.subscriptions.get(number)
            if subscription is None or subscription.session_id == self.session_id:
                continue
            if subscription.user != self.user.name:
                raise ServiceError(ua.StatusCodes.BadUserAccessDenied)


class GuardedInternalServer(InternalServer):
    """Makes guarded sessions, and knows whom to let in."""

    def __init__(self, users: PlantUsers, certificates: CertificateFolder, audit: PlantAudit) -> None:
        """Without nodes yet."""
        super().__init__(user_manager=users)
        self.audit, self.certificates = audit, certificates
        self.arrivals = ArrivalClock()
        self.subscription_service = GuardedSubscriptions(self.aspace, iserver=self)
        self.isession.subscription_service = self.subscription_service
        self.certificate_validator = self._let_in
        self._is_valid = CertificateValidator(_VALID)

    @property
    def sessions(self) -> list[GuardedSession]:
        """Sessions of clients."""
        return list(self._external_sessions.values())

    def create_session(self, name: str, *_: Any, **__: Any) -> InternalSession:
        """A session for a client."""
        return GuardedSession(self, name)

    async def _let_in(self, certificate: x509.Certificate, client: ua.ApplicationDescription) -> None:
        der = certificate.public_bytes(Encoding.DER)
        if not self.certificates.is_trusted(der):
            try:
                self.certificates.keep_rejected(der)
            except UnavailableError as error:
                self.audit.refuse(
                    "keep_rejected", application_uri(certificate), "not_written", detail=str(error)
                )
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)
        await self._is_valid(certificate, client)
