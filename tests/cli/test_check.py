"""`inspectd check` of settings, banks and this machine; cameras, golden parts and the state are beside it."""

from __future__ import annotations

import os
import pty
import re
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.command import inspectd as process_of
from support.daemon import camera_table, settings

from inspectd.bank.file import GOOD_SCORES, read_bank, write_bank


def test_a_sound_line_is_tried_out_and_found_good(tmp_path, bank_file, good_folder):
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, camera_table("cam", good_folder)))
    done = process_of("check", file)
    assert done.returncode == 0, done.stderr
    assert "no problems, 1 camera, 1 recipe; banks load, cameras deliver, ports are free" in done.stdout
    assert re.search(
        r"memory: the line takes about .* scoring [1-9].*\n  cam: 4 MB, 16 slots\n", done.stdout, re.DOTALL
    )


def test_a_person_at_a_terminal_is_told_what_takes_its_time(tmp_path, bank_file, good_folder):
    """And standard output is the same as without one."""
    file, (ours, theirs) = tmp_path / "line.toml", pty.openpty()
    file.write_text(settings(bank_file, camera_table("cam", good_folder)))
    command = [sys.executable, "-m", "inspectd", "check", str(file)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, text=True, check=False)
    os.close(theirs)
    told = os.read(ours, 65_536).decode()
    os.close(ours)
    assert done.returncode == 0, told
    steps = ["loading what scores 1 recipe ...", "bank 1 of 1, cell ...", "trying 1 camera ..."]
    assert [line for line in told.splitlines() if line in steps] == steps
    assert "no problems" in done.stdout
    assert not [step for step in steps if step in done.stdout]


def test_eight_different_faults_are_eight_lines(inspectd, tmp_path, bank_file, good_folder):
    other_weights = bank_file.read_bytes()
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(other_weights[: len(other_weights) // 2])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "line.toml"
        file.write_text(
            settings(
                bank_file,
                camera_table("cam", good_folder)
                + camera_table("cam", good_folder)  # 1 duplicate name
                + camera_table("gone", tmp_path / "nowhere"),  # 2 does not open
                metrics_port=port,  # 3 taken
                extra=f"""
                    [[recipes]]
                    name = "missing"
                    bank = "nowhere.safetensors"   # 4 missing bank
                    [[recipes]]
                    name = "damaged"
                    bank = "{damaged}"             # 5 unreadable bank
                    [batching]
                    max_batch = 0                  # 6 range
                    max_wiat_ms = 5                # 7 unknown key
                    [log]
                    level = 3                      # 8 type
                """,
            )
        )
        done = inspectd("check", file)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    lines = [line.strip().split(":")[0] for line in said[1:]]
    assert sorted(lines) == sorted([
        "cameras[1].name", "cameras[2].folder", "metrics.port", "recipes[1].bank", "recipes[2].bank",
        "batching.max_batch", "batching.max_wiat_ms", "log.level",
    ])  # fmt: skip


def far_bank(bank_file: Path, path: Path, **changes: object) -> Path:
    bank = read_bank(bank_file)
    write_bank(path, msgspec.structs.replace(bank.manifest, **changes), bank.tensors)
    return path


def test_a_threshold_nobody_can_mean_is_refused_unless_it_is_accepted(
    inspectd, tmp_path, bank_file, good_folder
):
    file, camera = tmp_path / "line.toml", camera_table("cam", good_folder)
    file.write_text(settings(bank_file, camera, recipe="threshold = 1000.0"))
    done = inspectd("check", file)
    assert done.returncode == 2
    assert (
        "1 problem\n  recipes[0].threshold: recipe cell: threshold 1000: 0 of the bank's 30 good"
        in done.stderr
    )
    assert "accept_threshold = true" in done.stderr
    file.write_text(settings(bank_file, camera, recipe="threshold = 1000.0\naccept_threshold = true"))
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    assert "recipes[0], cell: threshold 1000: 0 of the bank's 30 good images score above it" in done.stdout
    own = far_bank(bank_file, tmp_path / "far.bank", threshold=1e308)
    file.write_text(settings(own, camera))
    done = inspectd("check", file)
    assert done.returncode == 2
    assert "1 problem\n  recipes[0].bank: recipe cell: bank " in done.stderr


def test_a_second_limit_that_is_not_below_the_threshold_is_refused(
    inspectd, tmp_path, bank_file, good_folder
):
    file, camera = tmp_path / "line.toml", camera_table("cam", good_folder)
    own = read_bank(bank_file).manifest.threshold
    for recipe, expected in (
        ("check_above = 900.0", f"check_above is 900, expected below the bank's threshold, {own:g}"),
        ("threshold = 4.5\ncheck_above = 4.5", "check_above is 4.5, expected below its threshold, 4.5"),
    ):
        file.write_text(settings(bank_file, camera, recipe=recipe))
        done = inspectd("check", file)
        assert done.returncode == 2
        assert f"1 problem\n  recipes[0].check_above: recipe cell: {expected}" in done.stderr


def test_images_that_nobody_answered_are_warned_of(inspectd, tmp_path, bank_file, good_folder):
    """One warning, and none of a bank that has only images that count; each has one of its frames."""
    bank = read_bank(bank_file)
    scores = np.linspace(0, 2, len(bank.tensors[GOOD_SCORES]))
    file = tmp_path / "line.toml"
    for highest, warned in ((1000.0, 1), (2.0, 0)):
        scores[-1] = highest
        write_bank(tmp_path / "odd.bank", bank.manifest, {**bank.tensors, GOOD_SCORES: scores})
        file.write_text(settings(tmp_path / "odd.bank", camera_table("cam", good_folder)))
        done = inspectd("check", file)
        assert done.returncode == 0, done.stderr
        said = f"warning: recipes[0].bank: 1 of the good images of {tmp_path}/odd.bank are unlike the rest"
        held, *others = sorted(done.stderr.splitlines(), reverse=True)
        assert held.startswith(
            "warning: recipes[0]: frames are not held against how the good images were taken"
        )
        assert [line.startswith(said) for line in others] == [True] * warned


def test_a_pipe_as_bank_does_not_hang_the_check(inspectd, tmp_path, good_folder):
    os.mkfifo(tmp_path / "pipe")
    file = tmp_path / "line.toml"
    file.write_text(settings(tmp_path / "pipe", camera_table("cam", good_folder)))
    done = inspectd("check", file)
    assert done.returncode == 2
    assert "recipes[0].bank: bank " in done.stderr
    assert "is not a regular file" in done.stderr


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ('device = "cpu"\nsearch = "flat"', "scoring: search 'flat' is faiss on CUDA"),
        ('search = "ivf"', "scoring.search: got 'ivf', expected one of auto, exact, flat"),
        ('device = "cuda:99"', "scoring: "),
    ],
)
def test_settings_that_scoring_cannot_work_with_are_found(
    inspectd, tmp_path, bank_file, good_folder, *, setting, complaint
):
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, camera_table("cam", good_folder), extra=f"[scoring]\n{setting}\n"))
    done = inspectd("check", file)
    assert done.returncode == 2
    assert f"1 problem\n  {complaint}" in done.stderr


def test_every_file_in_config_is_sound(inspectd):
    files = list((Path(__file__).parents[2] / "config").glob("*.toml"))
    assert files
    for file in files:
        done = inspectd("check", "--settings-only", file)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["run", "/nowhere.toml"],
        ["check", "/nowhere.toml"],
        ["init", "/dev/null/x"],
        pytest.param(
            ["bank", "build", "--images", "/nowhere", "--out", "/tmp/x.safetensors"], marks=pytest.mark.system
        ),
        ["watch", "nonsense"],
        ["demo", "--images", "/nowhere", "--out", "/dev/null/x"],
        ["nonsense"],
        [],
        ["run"],
        ["run", "/dev/null"],
        ["check", "/"],
    ],
)
def test_bad_input_is_never_a_traceback(inspectd, words):
    done = process_of(*words) if words[:1] == ["run"] else inspectd(*words)
    assert done.returncode in {2, 3}, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_plain_tcp_is_warned_of_and_keys_are_not(inspectd, tmp_path):
    file = tmp_path / "line.toml"
    text = settings(
        tmp_path / "b", camera_table("cam", tmp_path), extra='[publish]\ncontrol_tcp = "[::1]:5574"\n'
    )
    file.write_text(text)
    done = inspectd("check", "--settings-only", file)
    assert done.returncode == 0
    assert done.stderr.startswith(
        "warning: publish.control_tcp: [::1]:5574 is plain TCP and authenticates nobody"
    )
    file.write_text(f'{text}[security]\nkeys_dir = "keys"\n')
    assert not inspectd("check", "--settings-only", file).stderr


def test_a_deadline_that_this_machine_cannot_keep_is_warned_of(inspectd, tmp_path, bank_file, good_folder):
    file = tmp_path / "line.toml"
    file.write_text(
        settings(bank_file, camera_table("cam", good_folder), deadline_ms=1, recipe="deadline_ms = 1")
    )
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"warning: recipes\[0\]\.deadline_ms: is 1 ms, and to score one image by recipe cell takes [\d.]+ ms "
        r"of that here .*: every part would be undecidable; expected \d+ ms or more",
        done.stderr,
    ), done.stderr
