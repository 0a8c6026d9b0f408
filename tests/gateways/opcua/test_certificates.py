"""The folder of certificates, which a gateway reads at every connection."""

from __future__ import annotations

import os

import pytest

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
