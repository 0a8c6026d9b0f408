"""A real Prometheus reads the metrics over TLS with a password, as docs/security.md has it."""

from __future__ import annotations

import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from support.ports import free_port

from inspectd.endpoint import add_user
from tests.ops.test_prometheus import Prometheus
from tests.support.daemon import camera_table, settings
from tests.support.tools import tool

pytestmark = pytest.mark.system


def test_prometheus_reads_over_tls_with_a_password(start_daemon, stub_bank, small_good, tmp_path) -> None:
    certificate, key = make_certificate(tmp_path)
    add_user(tmp_path / "users", "prometheus", "a secret")
    port = free_port()
    lines = settings(stub_bank, camera_table("cam1", small_good), metrics_port=port)
    tls = f'tls_certificate = "{certificate}"\ntls_key = "{key}"\nusers_file = "{tmp_path}/users"'
    daemon = start_daemon(lines.replace(f"port = {port}", f"port = {port}\n{tls}")).ready()

    (tmp_path / "prometheus").mkdir()
    (tmp_path / "password").write_text("a secret")
    asks = {
        "scheme": "https",
        "tls_config": {"ca_file": str(certificate)},
        "basic_auth": {"username": "prometheus", "password_file": str(tmp_path / "password")},
    }
    prometheus = Prometheus(tmp_path / "prometheus", f"127.0.0.1:{port}", asks)
    try:
        prometheus.until('up{job="inspectd"} == 1')
        prometheus.until('inspectd_verdicts_total{evaluation="pass"} > 0')
        trusting = ssl.create_default_context(cafile=str(certificate))
        with pytest.raises(urllib.error.HTTPError, match="401") as error:
            urllib.request.urlopen(f"https://127.0.0.1:{port}/metrics", timeout=10, context=trusting)
        error.value.close()
        prometheus.until('inspectd_auth_failures_total{socket="metrics", cause="password"} == 1')
    finally:
        prometheus.close()
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log.read_text()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key
