"""The folder of certificates, which a gateway reads at every connection."""

from __future__ import annotations

import os

import pytest
from asyncua.crypto.cert_gen import dump_private_key_as_pem
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from inspectd.errors import InputError
from inspectd.gateways.opcua.certificates import CertificateFolder


@pytest.mark.timeout(20)
def test_a_pipe_among_trusted_certificates_is_passed_over(tmp_path):
    (tmp_path / "trusted").mkdir()
    os.mkfifo(tmp_path / "trusted" / "client.der")
    assert CertificateFolder(tmp_path).trusted() == []


@pytest.mark.parametrize(
    ("key", "said"),
    [("another's", "is the key of another certificate"), (b"?", "is no private key that can be read")],
)
def test_a_key_that_is_not_the_certificates_is_refused(tmp_path, key, said):
    own, other = (CertificateFolder(tmp_path / name) for name in ("own", "other"))
    for folder in (own, other):
        folder.make_own("urn:test", ["localhost"])
    assert own.own().public_key() != other.own().public_key()
    own.key.write_bytes(other.key.read_bytes() if isinstance(key, str) else key)
    with pytest.raises(InputError, match=said):
        own.own()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ec.generate_private_key(ec.SECP256R1()), "not RSA"),
        (ed25519.Ed25519PrivateKey.generate, "not RSA"),
        (lambda: rsa.generate_private_key(65_537, 1024), "RSA of 1024 bits"),
    ],
)
def test_a_key_by_which_no_client_could_connect_is_refused(tmp_path, make, said):
    own = CertificateFolder(tmp_path)
    own.make_own("urn:test", ["localhost"])
    made, key = own.own(), make()
    builder = x509.CertificateBuilder(
        made.issuer, made.subject, key.public_key(), 1, made.not_valid_before_utc, made.not_valid_after_utc,
        list(made.extensions),
    )  # fmt: skip
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    own.certificate.write_bytes(builder.sign(key, algorithm).public_bytes(Encoding.PEM))
    own.key.write_bytes(dump_private_key_as_pem(key))
    with pytest.raises(InputError, match=f"own-key.pem: is {said}, expected RSA of 2048 bits or more"):
        own.own()
