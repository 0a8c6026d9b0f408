"""Who is let in, and what becomes of those who are not: each its status, and a line in the log."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua.uaerrors import UaStatusCodeError
from support.opcua import AUTOMATIC, ClientPki, OpcUaGateway, close_socket, hello, send_junk

from inspectd.cli import main
from inspectd.errors import InputError
from inspectd.gateways.opcua.certificates import MOST_REJECTED, CertificateFolder, thumbprint
from inspectd.gateways.opcua.guarded import LOGIN_SECONDS

pytestmark = pytest.mark.daemon


@pytest.fixture(scope="module")
def gateway(tmp_path_factory) -> Iterator[OpcUaGateway]:
    """A gateway without a line."""
    folder = tmp_path_factory.mktemp("opcua")
    made = OpcUaGateway(folder, folder / "nowhere")
    yield made
    assert made.stop() == 0
    assert "Traceback" not in made.log.read_text()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def refused(gateway: OpcUaGateway, status: str, **login: Any) -> None:
    async def test() -> None:
        with pytest.raises(UaStatusCodeError) as told:
            await gateway.client(**login)
        assert ua.StatusCode(told.value.code).name == status

    run(test)


def test_a_certificate_that_nobody_trusts_is_kept_to_look_at(gateway, tmp_path, capsys) -> None:
    stranger = ClientPki(tmp_path, "urn:test:stranger")
    refused(gateway, "BadCertificateUntrusted", pki=stranger)
    assert gateway.audited(action="connect", who="urn:test:stranger", result="BadCertificateUntrusted")
    short = thumbprint(stranger.certificate.read_bytes())[:12]
    config = ["--config", str(gateway.file)]
    assert main(["opcua", "keys", "list", *config]) == 0
    assert f"rejected  {short}" in capsys.readouterr().out
    assert main(["opcua", "keys", "trust", short, *config]) == 0

    async def test() -> None:
        client = await gateway.client(pki=stranger)
        assert await client.state() == "Preoperational"
        assert main(["opcua", "keys", "reject", short, *config]) == 0
        async with asyncio.timeout(5):
            while not gateway.audited(action="connect", who="anna", result="not_trusted_any_more"):
                await asyncio.sleep(0.05)
        with pytest.raises((UaStatusCodeError, ConnectionError, asyncio.CancelledError, TimeoutError)):
            async with asyncio.timeout(2):
                await client.state()
        await client.disconnect()
        await close_socket(client)

    run(test)


def test_a_certificate_is_named_as_other_tools_show_it_and_rejected_wherever_it_lies(tmp_path) -> None:
    client, other = (ClientPki(tmp_path / name, f"urn:test:{name}") for name in ("client", "other"))
    folder = CertificateFolder(tmp_path / "keys")
    for each in (client, other):
        folder.keep_rejected(each.certificate.read_bytes())
    name = thumbprint(client.certificate.read_bytes())
    shown = ":".join(name[at : at + 2] for at in range(0, len(name), 2)).upper()
    for _ in range(2):  # who is trusted already stays so
        assert folder.trust(shown).thumbprint == name
    (tmp_path / "keys" / "trusted" / "by-hand.der").write_bytes(client.certificate.read_bytes())
    for which in (shown, shown.replace(":", " "), str(client.certificate)):
        assert folder.reject(which).thumbprint == name
        assert folder.trusted() == []
    assert {each.thumbprint for each in folder.rejected()} == {
        thumbprint(each.certificate.read_bytes()) for each in (client, other)
    }
    for which in ("", ":", "nothing"):
        with pytest.raises(
            InputError, match=r"0 certificates begin so, expected one of: [0-9a-f]{40}, [0-9a-f]{40};"
        ):
            folder.reject(which)


def test_what_is_not_let_in_takes_no_more_than_its_room(gateway) -> None:
    for _ in range(MOST_REJECTED + 3):
        gateway.certificates.keep_rejected(os.urandom(64))
    folder = Path(gateway.file).parent / "opcua" / "rejected"
    for each in folder.iterdir():
        each.unlink()


def test_an_expired_certificate(gateway, tmp_path) -> None:
    old = ClientPki(tmp_path, days=-1)
    gateway.certificates.trust(str(old.certificate))
    refused(gateway, "BadCertificateTimeInvalid", pki=old)
    assert gateway.audited(action="connect", result="BadCertificateTimeInvalid")


def test_a_certificate_of_another_application(gateway) -> None:
    refused(gateway, "BadCertificateUriInvalid", uri="urn:test:other")
    assert gateway.audited(action="connect", who="urn:test:other", result="BadCertificateUriInvalid")


def test_nobody_in_particular(gateway) -> None:
    refused(gateway, "BadIdentityTokenRejected", user=None)
    assert gateway.audited(action="login", who="anonymous", result="BadIdentityTokenRejected")


@pytest.mark.parametrize(("user", "password"), [("anna", "wrong"), ("nobody", "pw-anna"), ("anna", "")])
def test_a_wrong_password(gateway, user, password) -> None:
    refused(gateway, "BadUserAccessDenied", user=user, password=password)
    assert gateway.audited(action="login", who=user, result="BadUserAccessDenied")


@pytest.mark.parametrize(
    ("user", "allowed"),
    [("eye", {"list"}), ("mes", {"list", "job", "halt"}), ("anna", {"list", "job", "halt", "recipe"})],
)
def test_roles(gateway, user, allowed) -> None:
    reason = (ua.Variant(0, ua.VariantType.Int32), "")

    async def test() -> None:
        client = await gateway.client(user)
        calls = {
            "list": ("GetRecipeListFiltered", client.results),
            "job": ("StartSingleJob", client.job),
            "halt": ("Reset", lambda: client.call("VisionStateMachine.Reset", *reason)),
            "recipe": ("PrepareRecipe", lambda: client.prepare("cells")),
        }
        for what, (method, call) in calls.items():
            if what in allowed:
                await call()
                continue
            with pytest.raises(UaStatusCodeError) as told:
                await call()
            assert told.value.code == ua.StatusCodes.BadUserAccessDenied
            assert gateway.audited(action=method, who=user, result="BadUserAccessDenied")
        await client.disconnect()

    run(test)


def test_without_encryption_nothing_but_discovery_is_answered(gateway) -> None:
    async def test() -> None:
        client = Client(gateway.url)
        client.set_user("anna")
        client.set_password("pw-anna")
        await client.connect_socket()
        await client.send_hello()
        await client.open_secure_channel()
        with pytest.raises(UaStatusCodeError) as told:
            await client.create_session()
        assert told.value.code == ua.StatusCodes.BadSecurityModeRejected
        await client.close_secure_channel()
        await close_socket(client)

    run(test)
    assert gateway.audited(action="connect", result="no_encryption")


def test_who_is_refused_again_and_again_fills_no_log(gateway) -> None:
    before = gateway.log.stat().st_size

    async def test() -> None:
        client = Client(gateway.url)
        client.application_uri = "urn:" + "x" * 2000
        await client.connect_socket()
        await client.send_hello()
        await client.open_secure_channel()
        for _ in range(200):
            with pytest.raises(UaStatusCodeError):
                await client.create_session()
        await close_socket(client)

    run(test)
    assert gateway.audited(action="connect", result="no_encryption")
    assert gateway.log.stat().st_size - before < 5_000


def test_a_session_belongs_to_its_certificate_and_nobody_takes_it_by_its_number(gateway, tmp_path) -> None:
    """asyncua counts tokens up from 1000, and a channel that names one acts in its session's name."""

    async def test() -> None:
        victim = await gateway.client("anna")
        token = victim.uaclient.protocol.authentication_token
        assert len(token.Identifier) == 32, "a token that can be guessed"
        thief = await gateway.client("eye")
        thief.uaclient.protocol.authentication_token = token
        with pytest.raises(UaStatusCodeError):  # another's token on a channel of one's own changes nothing
            await thief.prepare("cells")
        await thief.disconnect()
        await victim.disconnect()

    run(test)


def test_a_trusted_certificate_on_the_channel_of_another_is_refused(gateway, tmp_path) -> None:
    """A certificate is public: what counts is the one whose key the channel was opened with."""
    stranger = ClientPki(tmp_path, "urn:test:client")

    async def test() -> None:
        client = Client(gateway.url)
        client.application_uri = "urn:test:client"
        await client.set_security(
            SecurityPolicyBasic256Sha256, str(stranger.certificate), str(stranger.key),
            server_certificate=str(gateway.certificates.certificate),
        )  # fmt: skip
        client.set_user("anna")
        client.set_password("pw-anna")
        await client.connect_socket()
        await client.send_hello()
        await client.open_secure_channel()
        client.security_policy.asymmetric_cryptography.verify = lambda *_: None  # it would notice itself
        client.security_policy.host_certificate = gateway.pki.certificate.read_bytes()
        await client.create_session()
        with pytest.raises(UaStatusCodeError):
            await client.activate_session("anna", "pw-anna")
        await close_socket(client)

    run(test)
    assert gateway.audited(action="login", who="anna", result="BadSecurityChecksFailed")


def test_subscriptions_are_their_users_own_in_every_service_that_names_one(gateway) -> None:
    async def test() -> None:
        owner, other = await gateway.client("anna"), await gateway.client("eye")
        subscription = await owner.create_subscription(100, owner)
        number, items = subscription.subscription_id, [ua.MonitoredItemModifyRequest()]
        for kind, named in (
            ("DeleteSubscriptions", {"SubscriptionIds": [number]}),
            ("TransferSubscriptions", {"SubscriptionIds": [number]}),
            ("SetPublishingMode", {"SubscriptionIds": [number]}),
            ("ModifySubscription", {"SubscriptionId": number}),
            ("CreateMonitoredItems", {"SubscriptionId": number}),
            ("ModifyMonitoredItems", {"SubscriptionId": number, "ItemsToModify": items}),
            ("DeleteMonitoredItems", {"SubscriptionId": number, "MonitoredItemIds": [112]}),
            ("SetMonitoringMode", {"SubscriptionId": number, "MonitoredItemIds": [112]}),
            ("Republish", {"SubscriptionId": number}),
            ("Publish", {"SubscriptionAcknowledgements": [ua.SubscriptionAcknowledgement(number, 1)]}),
        ):
            request = getattr(ua, f"{kind}Request")()
            for name, value in named.items():
                setattr(request.Parameters, name, value)
            with pytest.raises(UaStatusCodeError) as told:
                await other.uaclient.protocol.send_request(request)
            assert told.value.code == ua.StatusCodes.BadUserAccessDenied, kind
        await subscription.delete()
        for client in (owner, other):
            await client.disconnect()

    run(test)


def test_a_subscription_that_outlives_its_session_is_still_its_users_own(gateway) -> None:
    async def test() -> None:
        owner, other, again = [await gateway.client(user) for user in ("anna", "eye", "anna")]
        number = (await owner.create_subscription(100, owner)).subscription_id
        await owner.uaclient.close_session(False)
        with pytest.raises(UaStatusCodeError) as told:
            await other.uaclient.delete_subscriptions([number])
        assert told.value.code == ua.StatusCodes.BadUserAccessDenied
        assert [each.name for each in await again.uaclient.delete_subscriptions([number])] == ["Good"]
        for client in (owner, other, again):
            await client.disconnect()

    run(test)


def test_a_republish_of_what_is_gone_says_so(gateway) -> None:
    """Answered Good and an empty message, as asyncua does, a client asks for ever."""

    async def test() -> None:
        client = await gateway.client()
        subscription = await client.create_subscription(100, client)
        for number, status in (
            (subscription.subscription_id, "BadMessageNotAvailable"), (4711, "BadSubscriptionIdInvalid")
        ):  # fmt: skip
            request = ua.RepublishRequest()
            request.Parameters.SubscriptionId = number
            request.Parameters.RetransmitSequenceNumber = 99
            with pytest.raises(UaStatusCodeError) as told:
                await client.uaclient.protocol.send_request(request)
            assert ua.StatusCode(told.value.code).name == status
        await client.disconnect()

    run(test)


@pytest.mark.parametrize(
    ("asked", "given"), [(0.01, 10), (0, 10), (250, 250), (1e9, 10_000), (float("nan"), 10)]
)
def test_no_client_has_itself_told_more_often_than_it_should(gateway, asked, given) -> None:
    async def test() -> None:
        client = await gateway.client()
        parameters = ua.CreateSubscriptionParameters(asked, 100, 10, 0, PublishingEnabled=True, Priority=0)
        made = await client.uaclient.create_subscription(parameters, lambda _: None)
        assert made.RevisedPublishingInterval == given
        await client.disconnect()

    run(test)


def test_more_connections_and_subscriptions_than_there_is_room_for(gateway) -> None:
    async def test() -> None:
        client = await gateway.client()
        for _ in range(64):
            await client.create_subscription(1000, client)
        with pytest.raises(UaStatusCodeError) as told:
            await client.create_subscription(1000, client)
        assert told.value.code == ua.StatusCodes.BadTooManySubscriptions
        sockets = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(20)]
        sockets[-1].settimeout(5)
        assert sockets[-1].recv(1) == b"", "the one too many is ended"
        assert await client.state() == "Preoperational"
        await asyncio.sleep(LOGIN_SECONDS + 0.2)
        other = await gateway.client("eye")  # those who say nothing make room
        await other.disconnect()
        for each in sockets:
            each.close()
        await client.disconnect()

    run(test)


def test_a_host_that_knocks_without_end_keeps_no_other_host_out(gateway) -> None:
    """Each of its connections is too young to be slow at logging in."""
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            knocking = socket.create_connection(
                ("127.0.0.1", gateway.port), timeout=5, source_address=("127.0.0.9", 0)
            )
            stack.enter_context(knocking).sendall(hello())
            assert knocking.recv(100).startswith(b"ACK")
        other = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=5))
        other.sendall(hello())
        assert other.recv(100).startswith(b"ACK")
        # It is not their turn to make room, but their own host's.
        again = stack.enter_context(
            socket.create_connection(("127.0.0.1", gateway.port), timeout=5, source_address=("127.0.0.9", 0))
        )
        again.sendall(hello())
        other.settimeout(0.2)
        with pytest.raises(TimeoutError):
            other.recv(1)


@pytest.mark.parametrize(
    "frame",
    [
        hello() + b"MSGF" + struct.pack("<II", 112, 1) + bytes(100),
        hello() + b"JUNK" + struct.pack("<I", 108) + bytes(100),
        b"MSGF" + struct.pack("<II", 2**31, 1) + bytes(70_000),
    ],
)
def test_what_is_no_opc_ua_ends_the_connection(gateway, frame) -> None:
    each = socket.create_connection(("127.0.0.1", gateway.port), timeout=5)
    with each, contextlib.suppress(ConnectionError):
        each.sendall(frame)
        while each.recv(1000):
            continue


@pytest.mark.parametrize("count", [300])
def test_junk_is_cut_off_and_counted_and_leaves_nothing_behind(gateway, count) -> None:
    before = gateway.rss_mb()
    began = time.monotonic()
    send_junk(gateway.port, count)
    assert time.monotonic() - began < 60

    async def test() -> None:
        client = await gateway.client()
        assert await client.state() == "Preoperational"
        assert await client.state(AUTOMATIC) == "Initialized"
        await client.disconnect()

    run(test)
    assert gateway.rss_mb() < before + 30
