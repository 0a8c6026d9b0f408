"""The folder of certificates: the gateway's own, and those of clients, `trusted/` and `rejected/`.

A client is trusted by its very certificate (SHA-1 thumbprint in names, as other tools show it; the whole
bytes are compared). Files are DER, as UaExpert and others write them.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from pathlib import Path
from typing import Final, NamedTuple

from asyncua.crypto.cert_gen import (
    dump_private_key_as_pem,
    generate_private_key,
    generate_self_signed_app_certificate,
)
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from inspectd.errors import InputError, UnavailableError
from inspectd.files import is_there, make_folder, open_regular, read_small, write_bytes

MOST_REJECTED: Final = 32
"""Files in `rejected/`; any program that reaches the port can have one written."""
_OWN_DAYS: Final = 20 * 365
_LEAST_BITS: Final = 2048
"""Of an RSA key, by the security policy Basic256Sha256; it takes keys of no other kind."""
_MOST_BYTES: Final = 64 * 1024


class ClientCertificate(NamedTuple):
    """A certificate in the folder."""

    file: Path
    der: bytes
    certificate: x509.Certificate

    @property
    def thumbprint(self) -> str:
        """By which a person tells it from others."""
        return thumbprint(self.der)

    @property
    def application_uri(self) -> str:
        """The application it is of; empty: it does not say."""
        return application_uri(self.certificate)


class CertificateFolder:
    """`own.pem`, `own-key.pem`, `trusted/` and `rejected/` in one folder."""

    def __init__(self, folder: Path) -> None:
        """The folder need not exist yet."""
        self.certificate = folder / "own.pem"
        self.key = folder / "own-key.pem"
        self._trusted, self._rejected = folder / "trusted", folder / "rejected"

    def make_own(self, uri: str, hosts: list[str]) -> None:
        """Make the gateway's own certificate and key, for the names and addresses that clients use.

        Raises:
            InputError: there is one.
            UnavailableError: they cannot be written.
        """
        for file in (self.certificate, self.key):
            if is_there(file):
                raise InputError(f"{file}: exists, and a key is never overwritten; move it away first")
        key = generate_private_key()
        names = [x509.UniformResourceIdentifier(uri), *map(_general_name, hosts)]
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = generate_self_signed_app_certificate(key, "inspectd", {}, names, usage, _OWN_DAYS)
        write_bytes(self.key, dump_private_key_as_pem(key), 0o600)
        write_bytes(self.certificate, certificate.public_bytes(Encoding.PEM), 0o644)
        for folder in (self._trusted, self._rejected):
            make_folder(folder)

    def own(self) -> x509.Certificate:
        """The gateway's own certificate, of which `key` is the private key.

        Raises:
            InputError: it, or its key, cannot be used.
        """
        try:
            certificate = x509.load_pem_x509_certificate(read_small(self.certificate))
            mode = self.key.stat().st_mode & 0o777
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no PEM certificate"
            raise InputError(
                f"{self.certificate}, {self.key}: cannot be used: {reason}; "
                "`inspectd opcua keys new` makes both"
            ) from error
        if mode & 0o077:
            raise InputError(f"{self.key}: has mode {mode:o}, expected 600; run `chmod 600 {self.key}`")
        try:
            key = load_pem_private_key(read_small(self.key), None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InputError(f"{self.key}: is no private key that can be read") from error
        if not isinstance(key, RSAPrivateKey) or key.key_size < _LEAST_BITS:
            found = f"RSA of {key.key_size} bits" if isinstance(key, RSAPrivateKey) else "not RSA"
            raise InputError(
                f"{self.key}: is {found}, expected RSA of {_LEAST_BITS} bits or more, by which clients can "
                "connect; move it and its certificate away, `inspectd opcua keys new` makes both"
            )
        if not _is_of(key, certificate):
            raise InputError(f"{self.key}: is the key of another certificate than {self.certificate}")
        if not application_uri(certificate):
            raise InputError(f"{self.certificate}: has no application URI, expected one")
        return certificate

    def trusted(self) -> list[ClientCertificate]:
        """Certificates of clients that may connect; files that are none are passed over."""
        return _read_folder(self._trusted)

    def rejected(self) -> list[ClientCertificate]:
        """Certificates of clients that came, and were not let in."""
        return _read_folder(self._rejected)

    def is_trusted(self, der: bytes) -> bool:
        """Whether exactly this certificate may connect."""
        return any(each.der == der for each in self.trusted())

    def keep_rejected(self, der: bytes) -> None:
        """Keep what was not let in, for a person to look at; the oldest makes room.

        Raises:
            UnavailableError: it cannot be written.
        """
        file = self._rejected / f"{thumbprint(der)}.der"
        if file.exists() or len(der) > _MOST_BYTES:
            return
        kept = sorted(self.rejected(), key=lambda each: each.file.stat().st_mtime)
        for each in kept[: max(0, len(kept) + 1 - MOST_REJECTED)]:
            each.file.unlink(missing_ok=True)
        write_bytes(file, der)

    def trust(self, which: str) -> ClientCertificate:
        """Let a client in: one of `rejected/` by the beginning of its thumbprint, or a file.

        One that is trusted already stays so.

        Raises:
            InputError: there is none, or several begin so.
            UnavailableError: it cannot be written.
        """
        chosen = _choose(which, self._rejected, self._trusted)
        if not self.is_trusted(chosen.der):
            write_bytes(self._trusted / f"{chosen.thumbprint}.der", chosen.der)
        (self._rejected / f"{chosen.thumbprint}.der").unlink(missing_ok=True)
        return chosen

    def reject(self, which: str) -> ClientCertificate:
        """Let a client in no more; its certificate goes to `rejected/`, from every file that holds it.

        Raises:
            InputError: there is none, or several begin so.
            UnavailableError: it cannot be written.
        """
        chosen = _choose(which, self._trusted, self._rejected)
        write_bytes(self._rejected / f"{chosen.thumbprint}.der", chosen.der)
        for each in self.trusted():
            if each.der == chosen.der:
                try:
                    each.file.unlink(missing_ok=True)
                except OSError as error:
                    raise UnavailableError(f"{each.file}: cannot be taken away: {error.strerror}") from error
        return chosen


def _is_of(key: RSAPrivateKey, certificate: x509.Certificate) -> bool:
    try:
        return key.public_key() == certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):  # a kind of key that is not even known
        return False


def thumbprint(der: bytes) -> str:
    """SHA-1 of a certificate, which is a name and no proof."""
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()


def application_uri(certificate: x509.Certificate) -> str:
    """The first URI of a certificate; empty: it has none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), "")


def own_hosts() -> list[str]:
    """Names by which this host is known to itself."""
    return [socket.gethostname(), "localhost", "127.0.0.1"]


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _read(file: Path) -> ClientCertificate:
    try:
        with open_regular(file) as opened:
            data = opened.read(_MOST_BYTES)
        load = x509.load_pem_x509_certificate if data.startswith(b"-----") else x509.load_der_x509_certificate
        certificate = load(data)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: is no certificate that can be read, expected DER or PEM") from error
    return ClientCertificate(file, certificate.public_bytes(Encoding.DER), certificate)


def _read_folder(folder: Path) -> list[ClientCertificate]:
    found = []
    for file in sorted(folder.glob("*")):
        if file.suffix.lower() in {".der", ".pem", ".crt", ".cer"}:
            try:
                found.append(_read(file))
            except InputError:
                continue  # what is no certificate lets nobody in
    return found


def _choose(which: str, *folders: Path) -> ClientCertificate:
    """A file's; else of the first folder with one whose thumbprint begins so, however a tool writes it."""
    if Path(which).is_file():
        return _read(Path(which))
    begins, found, known = which.lower().replace(":", "").replace(" ", ""), [], []
    for folder in folders:
        among = {each.thumbprint: each for each in _read_folder(folder)}
        known += list(among)
        found = [each for name, each in among.items() if begins and name.startswith(begins)]
        if found:
            break
    if len(found) != 1:
        listed = ", ".join(known) or "none is there"
        raise InputError(
            f"{which!r}: {len(found)} certificates begin so, expected one of: {listed}; or name a file"
        )
    return found[0]
