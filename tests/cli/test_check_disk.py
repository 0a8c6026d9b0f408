"""Disks that are too small for what a line may keep, told before it runs."""

from pathlib import Path

import pytest
from support.daemon import camera_table, settings

from inspectd import config
from inspectd.cli.check_disk import Disk, disk_of, disk_warnings

MB = 10**6
STATE, EVIDENCE = Path("/var/state"), Path("/evidence")


@pytest.mark.parametrize(
    ("state", "evidence", "said"),
    [
        ((1, 900, 100), (1, 900, 100), []),
        ((1, 899, 600), (1, 899, 600), ["may take 900 MB of the disk of /evidence"]),
        ((1, 299, 9), (2, 900, 600), ["may take 300 MB of the disk of /var/state"]),
        ((1, 900, 9), (1, 900, 99), ["99 MB are free on the disk of /evidence"]),
    ],
)
def test_a_disk_is_told_that_cannot_hold_what_the_settings_ask(state, evidence, said):
    line = config.Config(
        recipes=(config.Recipe(name="r", bank="b"),),
        cameras=(config.ImagesCamera(name="cam", recipe="r", folder="x"),),
        journal=config.JournalSettings(max_mb=300),
        evidence=config.EvidenceSettings(quota_mb=500, min_free_mb=100),
    )
    disks = [Disk(number, in_all * MB, free * MB) for number, in_all, free in (state, evidence)]
    found = [*disk_warnings(line, (STATE, disks[0]), (EVIDENCE, disks[1]))]
    assert [words in warning for words, warning in zip(said, found, strict=True)] == [True] * len(said)


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
