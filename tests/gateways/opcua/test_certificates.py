"""The folder of certificates, which a gateway reads at every connection."""

from __future__ import annotations

import os

import pytest

from inspectd.gateways.opcua.certificates import CertificateFolder


@pytest.mark.timeout(20)
def test_a_pipe_among_trusted_certificates_is_passed_over(tmp_path):
    (tmp_path / "trusted").mkdir()
    os.mkfifo(tmp_path / "trusted" / "client.der")
    assert CertificateFolder(tmp_path).trusted() == []
