"""Disks that are too small for what a line may keep, told before it runs."""

from pathlib import Path

import pytest
from support.daemon import camera_table, settings

from inspectd import config
from inspectd.cli.check_disk import Disk, disk_of, disk_warnings, evidence_bytes, journal_bytes

MB = 10**6
STATE, EVIDENCE = Path("/var/state"), Path("/evidence")


@pytest.mark.parametrize(
    ("state", "evidence", "kept", "said"),
    [
        ((1, 900, 100), (1, 900, 100), (300, 500), []),
        ((1, 899, 600), (1, 899, 600), (0, 0), ["may take 900 MB of the disk of /evidence"]),
        ((1, 299, 9), (2, 900, 600), (290, 0), ["may take 300 MB of the disk of /var/state"]),
        ((1, 900, 9), (1, 900, 99), (291, 0), ["99 MB are free on the disk of /evidence"]),
        ((1, 9000, 400), (1, 9000, 400), (100, 400), []),
        ((1, 9000, 400), (1, 9000, 400), (100, 399), ["it keeps 499 MB there already, and 400 MB are free"]),
        ((1, 9000, 399), (1, 9000, 399), (0, 900), ["it keeps 500 MB there already, and 399 MB are free"]),
        ((1, 9000, 300), (2, 9000, 200), (0, 399), ["it keeps 399 MB there already, and 200 MB are free"]),
        ((1, 9000, 100), (2, 9000, 600), (199, 0), ["it keeps 199 MB there already, and 100 MB are free"]),
    ],
)
def test_a_disk_is_told_that_cannot_hold_what_the_settings_ask(state, evidence, kept, said):
    line = config.Config(
        recipes=(config.Recipe(name="r", bank="b"),),
        cameras=(config.ImagesCamera(name="cam", recipe="r", folder="x"),),
        journal=config.JournalSettings(max_mb=300),
        evidence=config.EvidenceSettings(quota_mb=500, min_free_mb=100),
    )
    disks = [Disk(number, in_all * MB, free * MB) for number, in_all, free in (state, evidence)]
    counts = dict(zip(("journal.max_mb", "evidence.quota_mb"), kept, strict=True))
    kept_bytes = {name: lambda _, mb=mb: mb * MB for name, mb in counts.items()}
    found = [*disk_warnings(line, (STATE, disks[0]), (EVIDENCE, disks[1]), kept_bytes)]
    assert [words in warning for words, warning in zip(said, found, strict=True)] == [True] * len(said)


def test_what_is_kept_already_is_counted_and_left_as_it_is(tmp_path):
    assert evidence_bytes(tmp_path / "none") == journal_bytes(tmp_path / "none") == 0
    (tmp_path / "journal.sqlite").write_bytes(bytes(8192))
    assert journal_bytes(tmp_path) >= 8192
    day = tmp_path / "2026/01/31"
    pieces = [day / f"010203.004_cam_7-{seq}_fail{end}" for seq, end in ((1, ""), (2, ".partial"))]
    for place in (*pieces, day / "a plant's own"):
        place.mkdir(parents=True)
        (place / "frame.png").write_bytes(bytes(100_000))
    assert 200_000 <= evidence_bytes(tmp_path) < 300_000
    assert all(each.exists() for each in pieces)


def test_a_folder_that_is_still_to_be_made_is_on_the_disk_of_the_one_above_it(tmp_path):
    there, later = disk_of(tmp_path), disk_of(tmp_path / "state" / "evidence")
    assert (there.number, there.all_bytes) == (later.number, later.all_bytes)
    assert there.number == tmp_path.stat().st_dev
    assert there.free_bytes <= there.all_bytes


def test_check_warns_of_it(inspectd, tmp_path, bank_file, good_folder):
    file = tmp_path / "line.toml"
    text = settings(bank_file, camera_table("cam", good_folder), extra="[evidence]\nquota_mb = 1e9\n")
    file.write_text(text.replace("[line]", '[line]\nstate_dir = "state"'))
    done = inspectd("check", file)
    assert done.returncode == 0
    assert "warning: disk: the line may take 1" in done.stderr
