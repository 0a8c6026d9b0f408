from __future__ import annotations

from pathlib import Path

import pytest

from inspectd.cli import main
from inspectd.errors import InputError
from inspectd.fleet.keys import new_key, public_of, read_key


def test_a_new_key_is_secret_and_never_overwritten(tmp_path: Path, capsys) -> None:
    assert main(["forward", "new-key", str(tmp_path / "line1")]) == 0
    said = capsys.readouterr().out
    secret = tmp_path / "line1.nk"
    assert secret.stat().st_mode & 0o777 == 0o600
    seed = secret.read_text().strip()
    assert public_of(seed) in said
    assert seed not in said
    assert read_key(secret, None).public == public_of(seed)
    assert main(["forward", "new-key", str(tmp_path / "line1")]) == 2
    assert secret.read_text().strip() == seed


@pytest.mark.parametrize(
    "text", ["", "SUAB", "hello", "SAAG" + "A" * 54, "SU" + "A" * 56, "SÜ", "\x00" * 58, "SU" + "1" * 56]
)
def test_what_is_no_key_is_refused_by_name(text: str, tmp_path: Path) -> None:
    file = tmp_path / "line1.nk"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(InputError, match=r"line1\.nk: (expected one line, a user's NKEY|cannot be read)"):
        read_key(file, None)
    with pytest.raises(InputError, match=r"line1\.nk: (expected a file of credentials|cannot be read)"):
        read_key(None, file)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret, _ = new_key(tmp_path / "line1")
    secret.chmod(0o644)
    with pytest.raises(InputError, match="600"):
        read_key(secret, None)
    with pytest.raises(InputError, match=r"none\.nk"):
        read_key(tmp_path / "none.nk", None)
