"""The connection to an MQTT broker: credentials, TLS, and publishing in order."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from inspectd import log
from inspectd.errors import InputError
from inspectd.files import read_small
from inspectd.gateways.sparkplug.session import Send
from inspectd.gateways.sparkplug.settings import BrokerLink
from inspectd.key_files import refuse_mode

_ANSWER_SECONDS: Final = 5.0
_MAX_INCOMING: Final = 1000
"""Messages that wait to be read; more are left out, and counted."""
_MAX_COMMANDS: Final = 100
"""Of these so many commands, so that no host's state is left out for them."""
_MAX_MESSAGE_BYTES: Final = 1_000_000
"""Nothing that is meant for this node is larger. The library has had all of one before it is left out."""

_log: Final = logging.getLogger(__name__)


class _NowAndThen(logging.Filter):
    """Logs what the library has to say as events that cannot fill the disk: anybody may send a flood."""

    _said = log.Repeated(_log)

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        self._said.event(record.levelno, "mqtt_library", str(record.msg), text=text)
        return False


_library_log: Final = logging.getLogger(f"{__name__}.library")
_library_log.addFilter(_NowAndThen())


class BrokerError(Exception):
    """No connection came about, or it is gone.

    Attributes:
        is_unreachable: the broker was not even asked: no CONNECT went out.
    """

    def __init__(self, detail: str, *, is_unreachable: bool = False) -> None:
        super().__init__(detail)
        self.is_unreachable = is_unreachable


class _Incoming(asyncio.Queue[aiomqtt.Message]):
    """Messages that wait to be read."""

    _said = log.Repeated(_log)

    def __init__(self) -> None:
        super().__init__(_MAX_INCOMING)
        self.left_out = 0
        """Messages for which there was no place, or which were too large to keep."""

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """Put a message behind the others, or count it as left out."""
        topic, size_bytes = str(item.topic), len(item.payload)
        is_command = "/NCMD/" in topic
        if size_bytes > _MAX_MESSAGE_BYTES:
            self.left_out += 1
            self._said.event(
                logging.WARNING, "message_too_large", topic=topic, size_bytes=size_bytes,
                detail="the broker is to refuse such messages (Mosquitto: message_size_limit), and to forget "
                "this one if it is retained",
            )  # fmt: skip
        elif self.qsize() < (_MAX_COMMANDS if is_command else _MAX_INCOMING):
            super().put_nowait(item)
        else:
            self.left_out += 1


class Broker:
    """A connection, from CONNACK to its end."""

    def __init__(self, client: aiomqtt.Client, incoming: _Incoming) -> None:
        self._client, self._incoming = client, incoming

    def take_left_out(self) -> int:
        """Number of messages since the last call that came faster than they were read."""
        left_out, self._incoming.left_out = self._incoming.left_out, 0
        return left_out

    async def send(self, *messages: Send) -> None:
        """Publish messages; they are handed to the system, or for QoS 1 confirmed, when this returns.

        Raises:
            BrokerError: the connection is gone.
        """
        with _as_broker_error("a message"):
            for message in messages:
                await self._client.publish(message.topic, message.payload, qos=message.qos)

    async def subscribe(self, topics: list[tuple[str, int]]) -> None:
        """Subscribe, and wait for the broker's word: all that was sent before has arrived there by then.

        Raises:
            BrokerError: the connection is gone, or the broker does not answer.
        """
        with _as_broker_error("a subscription"):
            answers = await self._client.subscribe(topics)
        for (topic, _), answer in zip(topics, answers, strict=False):
            if isinstance(answer, ReasonCode) and answer.is_failure:
                raise BrokerError(
                    f"the broker refuses the subscription to {topic}: its access list forbids it"
                )

    async def unsubscribe(self, topic: str) -> None:
        """Have the broker send no more of a topic, and wait for its word.

        Raises:
            BrokerError: the connection is gone, or the broker does not answer.
        """
        with _as_broker_error("the end of a subscription"):
            await self._client.unsubscribe(topic)

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """Topic and payload of each message that comes in, without end.

        Raises:
            BrokerError: the connection is gone.
        """
        with _as_broker_error("nothing"):
            async for message in self._client.messages:
                yield str(message.topic), bytes(message.payload)


class BrokerDoor:
    """Connects to brokers with the credentials of the settings.

    Args:
        settings: of the brokers.
        client_id: name of this client, which no other client of a broker may have.

    Raises:
        InputError: a certificate, key or password file cannot be used.
    """

    def __init__(self, settings: BrokerLink, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._credentials()  # what cannot be used is refused now

    def _credentials(self) -> tuple[ssl.SSLContext | None, str | None]:
        """The settings of TLS and the password, as their files have them now: they are renewed meanwhile.

        Raises:
            InputError: a file cannot be used.
        """
        file = self._settings.password_file
        tls = _tls_context(self._settings) if self._settings.tls else None
        return tls, None if file is None else _password(Path(file))

    @asynccontextmanager
    async def connect(self, address: tuple[str, int], will: Send) -> AsyncIterator[Broker]:
        """A connection to a broker; its end is a DISCONNECT, so that the broker forgets the will.

        Raises:
            BrokerError: none comes about.
        """
        incoming = _Incoming()
        try:
            tls, password = self._credentials()
        except InputError as error:
            raise BrokerError(str(error), is_unreachable=True) from error
        client = aiomqtt.Client(
            *address,
            identifier=self._client_id,
            username=self._settings.user,
            password=password,
            will=aiomqtt.Will(will.topic, will.payload, qos=will.qos, retain=False),
            clean_session=True,
            keepalive=self._settings.keepalive_seconds,
            timeout=_ANSWER_SECONDS,
            tls_context=tls,
            queue_type=lambda maxsize: incoming,  # type: ignore[arg-type] # noqa: ARG005 - a class, it says
            logger=_library_log,
        )
        try:
            await client.__aenter__()
        except aiomqtt.MqttError as error:
            cause = error.__context__
            # A time-out may be that of the answer to a CONNECT, so it counts as one.
            was_asked = not isinstance(cause, OSError) or isinstance(cause, TimeoutError)
            raise BrokerError(_words(error, "CONNECT"), is_unreachable=not was_asked) from error
        except ValueError as error:  # such as a host name that cannot be one
            raise BrokerError(str(error), is_unreachable=True) from error
        try:
            yield Broker(client, incoming)
        except BaseException:  # a session that is cancelled takes its leave too
            with suppress(aiomqtt.MqttError):  # what came first is the cause, and is raised
                await _disconnect(client, incoming)
            raise
        with _as_broker_error("DISCONNECT"):
            await _disconnect(client, incoming)


async def _disconnect(client: aiomqtt.Client, incoming: _Incoming) -> None:
    await client.__aexit__(None, None, None)
    # The library keeps why a connection ended, and asyncio complains where nobody asks for it.
    while not incoming.empty():
        incoming.get_nowait()
    with suppress(aiomqtt.MqttError):
        await anext(client.messages)


@contextmanager
def _as_broker_error(asked: str) -> Iterator[None]:
    try:
        yield
    except aiomqtt.MqttError as error:
        raise BrokerError(_words(error, asked)) from error


def _words(error: aiomqtt.MqttError, asked: str) -> str:
    """What went wrong: the library does not say what was not answered, nor at once why a connection ended."""
    if str(error) == "Operation timed out":
        return f"the broker did not answer {asked} within {_ANSWER_SECONDS:g} s"
    if error.__cause__ is not None:
        return f"the broker or the network ended the connection: {error.__cause__}"
    return str(error)


def _tls_context(settings: BrokerLink) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"broker.ca_file {settings.ca_file}: cannot be used: {error.strerror or error}; "
            "expected a PEM file"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate is None or settings.key is None:
        return context
    refuse_mode(Path(settings.key), 0o007, "600")
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"broker.certificate {settings.certificate}, broker.key {settings.key}: cannot be used: "
            f"{error.strerror or error}; expected two PEM files that match, the key without a password"
        ) from error
    return context


def _password(file: Path) -> str:
    """The password that a file holds; a line break at its end is none of it."""
    refuse_mode(file, 0o007, "600")
    try:
        text = read_small(file).decode().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise InputError(f"broker.password_file {file}: cannot be read: {reason}") from error
    if not text or "\n" in text:
        raise InputError(f"broker.password_file {file}: expected one line, the password alone")
    return text
