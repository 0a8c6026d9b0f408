from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.changeovers import add_recipe
from support.daemon import camera_table, settings
from support.ordinary import run_without_rights
from support.pictures import write_images

from inspectd.bank.file import GOOD_SCORES, read_bank, write_bank
from inspectd.bank.reach import reach_of
from inspectd.publish.journal.file import MARK_NAME, Mark
from inspectd.recipes.audit import AuditAction, AuditLog, InForce, format_in_force
from inspectd.recipes.store import RecipeStore


def inspectd(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "inspectd", *map(str, words)], capture_output=True, text=True, check=False
    )


def test_a_sound_line_is_tried_out_and_found_good(tmp_path, bank_file, good_folder):
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, camera_table("cam", good_folder)))
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    assert "no problems, 1 camera, 1 recipe; banks load, cameras deliver, ports are free" in done.stdout
    assert re.search(
        r"memory: the line takes about .* scoring [1-9].*\n  cam: 4 MB, 16 slots\n", done.stdout, re.DOTALL
    )


def test_recipes_of_the_store_that_the_cameras_cannot_be_set_for_are_found(tmp_path, bank_file, good_folder):
    file, state = tmp_path / "line.toml", tmp_path / "state"
    text = settings(bank_file, camera_table("cam", good_folder)).replace(
        "[line]", '[line]\nstate_dir = "state"'
    )
    file.write_text(text)
    (state / "recipes").mkdir(parents=True)
    add_recipe(state, "a", 1, {"cam": 5.0}, exposures_us={"cam": 5000.0})
    done = inspectd("check", file)
    assert (done.returncode, "warning: recipe a@1 does not fit the line: cameras.cam.exp" in done.stderr) == (
        0,
        True,
    )
    sha256 = RecipeStore(state / "recipes").read("a", 1).sha256
    with AuditLog(state / "audit.jsonl") as log:
        log.append(
            AuditAction.ACTIVATE, who="anna", door="local", new=format_in_force(InForce("a", 1, sha256))
        )
    done = inspectd("check", file)
    assert (done.returncode, "recipe a@1 is in force by" in done.stderr) == (2, True)


def line_with_a_recipe(folder: Path, bank_file: Path, good_folder: Path) -> tuple[Path, Path]:
    """The settings of a line and its state, whose store has the recipe `a`."""
    file, state = folder / "line.toml", folder / "state"
    text = settings(bank_file, camera_table("cam", good_folder))
    file.write_text(text.replace("[line]", '[line]\nstate_dir = "state"\nruntime_dir = "run"'))
    (state / "recipes").mkdir(parents=True)
    add_recipe(state, "a", 1, {"cam": 5.0})
    return file, state


def test_the_recipe_in_force_is_named_and_every_byte_of_its_banks_is_read(tmp_path, bank_file, good_folder):
    file, state = line_with_a_recipe(tmp_path, bank_file, good_folder)
    store = RecipeStore(state / "recipes")
    with AuditLog(state / "audit.jsonl") as log:
        in_force = InForce("a", 1, store.read("a", 1).sha256)
        log.append(AuditAction.ACTIVATE, who="anna", door="local", new=format_in_force(in_force))
    (store.folder("a", 1) / "note.txt").write_text("nothing that is judged by")
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    assert "in force: a@1 of the recipe store, not the recipes of this file" in done.stdout
    (bank,) = (store.folder("a", 1) / "banks").iterdir()
    data = bytearray(bank.read_bytes())
    data[-1] ^= 1
    bank.chmod(0o644)
    bank.write_bytes(data)
    done = inspectd("check", file)
    assert done.returncode == 2
    assert re.search(r"a@1 is in force by .*, and cannot be used: .*altered.*recipe activate", done.stderr)


def test_an_audit_file_that_was_emptied_puts_no_other_recipe_in_force(tmp_path, bank_file, good_folder):
    file, state = line_with_a_recipe(tmp_path, bank_file, good_folder)
    assert inspectd("recipe", "activate", "a", "--config", file).returncode == 0
    (state / "audit.jsonl").write_bytes(b"")
    for words in (("check", file), ("run", file), ("recipe", "list", "--config", file)):
        done = inspectd(*words)
        assert done.returncode == 2
        assert "record 1, which put a@1 in force, is gone" in done.stderr
        assert "inspectd recipe activate ID@VERSION (or file)" in done.stderr
    assert re.search(r"a +1 +1", done.stdout)  # which ID and VERSION there are
    done = inspectd("audit", "--verify", "--config", file)
    assert (done.returncode, "record 1, which put a@1 in force, is gone" in done.stderr) == (1, True)
    assert inspectd("recipe", "activate", "a", "--config", file).returncode == 0
    assert inspectd("check", file).returncode == 0
    done = inspectd("recipe", "rollback", "--config", file)
    assert done.returncode == 2
    assert "record 1 was made where nobody knew what was in force before" in done.stderr


def test_the_state_of_another_line_is_refused(tmp_path, bank_file, good_folder):
    file, state = line_with_a_recipe(tmp_path, bank_file, good_folder)
    mark = Mark(state / MARK_NAME)
    mark.write_line("demo/press6")
    mark.close()
    for words in (("check", file), ("run", file)):
        done = inspectd(*words)
        assert done.returncode == 2
        assert re.search(
            "has the journal of line demo/press6, expected that of .*If the line was renamed", done.stderr
        )
    (state / MARK_NAME).unlink()
    assert inspectd("check", file).returncode == 0


def test_a_state_that_the_line_cannot_write_is_found(tmp_path, bank_file, good_folder):
    file, state = line_with_a_recipe(tmp_path, bank_file, good_folder)
    text = file.read_text()
    (tmp_path / "a file").write_text("no directory")
    file.write_text(text.replace('state_dir = "state"', 'state_dir = "a file/state"'))
    done = inspectd("check", file)
    assert done.returncode == 2
    assert "a file is no directory; choose one that the line's user may write" in done.stderr
    file.write_text(text)
    (state / "journal.sqlite").write_bytes(b"")
    (state / "journal.sqlite").chmod(0o400)
    said = run_without_rights(
        "import runpy, sys; sys.argv[0:1] = ['inspectd', 'check']; sys.stderr = sys.stdout\n"
        "try: runpy.run_module('inspectd', run_name='__main__')\n"
        "except SystemExit as end: print(end.code)",
        file,
    )
    assert re.search(r"journal\.sqlite belongs to user \d+ and cannot be written by user \d+; give it", said)
    assert said.endswith("\n2\n")


def test_a_golden_part_of_no_recipe_is_warned_of(tmp_path, bank_file, good_folder):
    file, state = tmp_path / "line.toml", tmp_path / "state"
    parts = "".join(
        f'[[golden.parts]]\nname = "{name}"\nrecipe = "{name}"\nexpect = "pass"\n'
        for name in ("cell", "b", "c")
    )
    text = settings(bank_file, camera_table("cam", good_folder)) + parts
    file.write_text(text.replace("[line]", '[line]\nstate_dir = "state"'))
    (state / "recipes").mkdir(parents=True)
    add_recipe(state, "b", 1, {"cam": 5.0})
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    expect, warning = [line for line in done.stderr.splitlines() if "golden" in line]
    assert 'recipe cell has no part with expect = "fail", so a line that passes everything would' in expect
    assert "golden.parts[2].recipe: 'c' is in neither this file nor the store" in warning
    assert warning.endswith("these are there: b, cell")


def test_what_golden_parts_do_not_prove_is_warned_of(tmp_path, bank_file, good_folder):
    judged_by = {"top": "cell", "side": "cell", "back": "other", "left": "third"}
    cameras = "".join(camera_table(name, good_folder, recipe=recipe) for name, recipe in judged_by.items())
    recipes = "".join(f'[[recipes]]\nname = "{name}"\nbank = "{bank_file}"\n' for name in ("other", "third"))
    parts = "".join(
        f'[[golden.parts]]\nname = "{name}"\nrecipe = "{recipe}"\nexpect = "{expect}"\n'
        f'cameras = ["{camera}"]\n'
        for name, recipe, expect, camera in (
            ("good", "cell", "pass", "side"),
            ("bad", "cell", "fail", "side"),
            ("odd", "other", "fail", "top"),
        )
    )
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, cameras + recipes) + parts)
    done = inspectd("check", file)
    assert done.returncode == 2
    said = [line.strip() for line in done.stderr.splitlines() if " golden.parts" in line]
    no_good_part = (
        'recipe other has no part with expect = "pass", so a line that passes nothing would pass its checks'
    )
    wrong_camera = (
        "golden.parts[2].cameras: top is judged by recipe cell, expected cameras that are judged by other, "
        "the part's own"
    )
    assert said == [
        "warning: golden.parts: no part of recipe cell is shown to top, which judges by it",
        f"warning: golden.parts: {no_good_part}",
        "warning: golden.parts: no part of recipe other is shown to back, which judges by it",
        "warning: golden.parts: recipe third has none: its parts are judged without checks",
        wrong_camera,
    ]


def test_a_band_of_scores_that_no_check_can_pass_by_is_found(tmp_path, bank_file, good_folder):
    file, _ = line_with_a_recipe(tmp_path, bank_file, good_folder)
    text = file.read_text()
    for expect, band, wrong in (
        ("fail", "score_max = 0.5", "is 0.5, expected above the threshold of recipe"),
        ("pass", "score_min = 1e6", "is 1e+06, expected at most the threshold of recipe"),
    ):
        part = f'[[golden.parts]]\nname = "g"\nrecipe = "cell"\nexpect = "{expect}"\n{band}\n'
        file.write_text(f"{text}\n{part}")
        done = inspectd("check", file)
        assert (done.returncode, wrong in done.stderr) == (2, True), done.stderr


def test_eight_different_faults_are_eight_lines(tmp_path, bank_file, good_folder):
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


def test_a_threshold_nobody_can_mean_is_refused_unless_it_is_accepted(tmp_path, bank_file, good_folder):
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


def test_a_second_limit_that_is_not_below_the_threshold_is_refused(tmp_path, bank_file, good_folder):
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


def test_images_that_nobody_answered_are_warned_of(tmp_path, bank_file, good_folder):
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


def test_a_pipe_as_bank_does_not_hang_the_check(tmp_path, good_folder):
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
    tmp_path, bank_file, good_folder, setting, complaint
):
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, camera_table("cam", good_folder), extra=f"[scoring]\n{setting}\n"))
    done = inspectd("check", file)
    assert done.returncode == 2
    assert f"1 problem\n  {complaint}" in done.stderr


def test_a_camera_of_another_size_than_the_banks_images_is_found(tmp_path, bank_file):
    write_images(tmp_path / "small", ["1.png"])
    cameras = camera_table("cam", tmp_path / "small") + camera_table("cut", tmp_path / "small")
    for name, width in (("far", 300), ("small", 40)):
        rectangle = f"{{left = 0, top = 0, width = {width}, height = 48}}"
        cameras += f'[[cameras.regions]]\nname = "{name}"\nrectangle = {rectangle}\n'
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, cameras))
    done = inspectd("check", file)
    assert done.returncode == 2
    for problem in (
        "cameras[0].folder: frames are 64x48, the images of recipe cell were 300x300; none would be judged (",
        "(parts cut out one by one, each of a size of its own, take any_size = true)",
        "cameras[1].folder: region far reaches to column 300 and row 48, frames are 64x48; region small is",
        "region small is 40x48, the images of recipe cell were 300x300; none would be judged",
    ):
        assert problem in done.stderr


def test_files_that_a_camera_cannot_use_are_found_before_the_line_starts(tmp_path):
    write_images(tmp_path / "parts", ["1.png"])
    write_images(tmp_path / "empty", [f"{number}.png" for number in range(10)], [(40, 60)] * 10)
    (tmp_path / "lens.yml").write_text("{}")
    tables = [
        camera_table("a", tmp_path / "parts") + '[cameras.geometry]\ncalibration = "lens.yml"\n',
        camera_table("b", tmp_path / "parts") + '[cameras.presence]\nempty_folder = "none"\n',
        camera_table("c", tmp_path / "parts") + '[cameras.presence]\nempty_folder = "empty"\n',
    ]
    file = tmp_path / "line.toml"
    file.write_text(settings(tmp_path / "none.bank", "".join(tables)))
    done = inspectd("check", file)
    assert done.returncode == 2
    for problem in (
        f"cameras[0].geometry.calibration: {tmp_path}/lens.yml: ",
        f"cameras[1].presence.empty_folder: folder {tmp_path}/none: not found",
        "cameras[2].presence.empty_folder: its pictures are 60x40, frames are 64x48",
    ):
        assert problem in done.stderr


def test_a_picture_that_the_line_would_leave_out_is_warned_of_and_no_problem(
    tmp_path, bank_file, good_folder
):
    shutil.copytree(good_folder, tmp_path / "parts")
    (tmp_path / "parts" / "0.png").write_bytes(b"nothing")
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, camera_table("cam", tmp_path / "parts")))
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    assert "warning: cameras[0].folder: 0.png: " in done.stderr
    assert "it is left out of the replay" in done.stderr


def test_every_file_in_config_is_sound():
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
def test_bad_input_is_never_a_traceback(words):
    done = inspectd(*words)
    assert done.returncode in {2, 3}, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_plain_tcp_is_warned_of_and_keys_are_not(tmp_path):
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


def test_init_writes_a_file_once(tmp_path):
    assert inspectd("init", tmp_path / "new").returncode == 0
    written = (tmp_path / "new" / "inspectd.toml").read_text()
    again = inspectd("init", tmp_path / "new")
    assert again.returncode == 2
    assert "already exists, not overwritten" in again.stderr
    assert (tmp_path / "new" / "inspectd.toml").read_text() == written
    in_file = inspectd("init", tmp_path / "new" / "inspectd.toml")
    assert (in_file.returncode, "is a file, expected a folder" in in_file.stderr) == (2, True)


def test_init_on_a_full_disk_leaves_nothing_that_the_next_one_stops_at(tmp_path):
    command = [sys.executable, "-m", "inspectd", "init", str(tmp_path / "new")]
    full = subprocess.run(
        ["prlimit", "--fsize=1000", *command], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert (full.returncode, "inspectd.toml: cannot be written" in full.stderr) == (3, True), full.stderr
    assert list((tmp_path / "new").iterdir()) == []
    assert inspectd("init", tmp_path / "new").returncode == 0


def test_inits_example_of_a_threshold_is_no_trap(tmp_path, bank_file, good_folder):
    """Taken as it stands, it is within the scale that banks have."""
    assert inspectd("init", tmp_path / "new").returncode == 0
    lines = (tmp_path / "new" / "inspectd.toml").read_text().splitlines()
    (shown,) = (line for line in lines if line.startswith("# threshold = "))
    reach = reach_of(read_bank(bank_file), float(shown.rpartition(" ")[2]))
    assert reach is not None
    assert reach.times < 2


LIVE = """
[[recipes]]
name = "r"
bank = "b"
[[cameras]]
kind = "opencv"
name = "cam"
recipe = "r"
source = 0
"""


@pytest.mark.parametrize(
    ("camera", "more", "warned"),
    [
        (
            "mode = 'triggered'\nlatency_ms = 0",
            "",
            "cameras[0].latency_ms: is 0, but every real camera has a latency",
        ),
        (
            "mode = 'triggered'\nlatency_ms = 80\nfps = 20",
            "",
            "triggers.window_ms: is 100, but the first frame of cam",
        ),
        ("mode = 'triggered'\nlatency_ms = 80\nfps = 20", "[triggers]\nwindow_ms = 131", None),
        ("mode = 'free'", "", None),
    ],
)
def test_latencies_with_which_parts_go_wrong_are_warned_of(tmp_path, camera, more, warned):
    file = tmp_path / "line.toml"
    file.write_text(f"{LIVE}{camera}\n{more}\n")
    done = inspectd("check", "--settings-only", file)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"warning: {warned}") if warned else not done.stderr


def test_a_live_triggered_camera_without_its_latency_is_refused_everywhere(tmp_path):
    file = tmp_path / "line.toml"
    file.write_text(f"{LIVE}mode = 'triggered'\n")
    for words in (("check", "--settings-only", file), ("run", file)):
        done = inspectd(*words)
        assert done.returncode == 2
        assert "cameras[0].latency_ms: is missing, expected the longest time from exposure" in done.stderr
        assert "`inspectd camera latency cam --config FILE` measures it" in done.stderr


def test_cameras_that_look_at_no_part_or_that_no_gate_hears_of_are_warned_of(
    tmp_path, bank_file, good_folder
):
    live = 'kind = "opencv"\nsource = "rtsp://127.0.0.1:1/a"\nrecipe = "cell"\n'
    cameras = (
        camera_table("top", good_folder, mode='"triggered"')
        + camera_table("side", good_folder)
        + f'[[cameras]]\nname = "left"\nmode = "triggered"\nlatency_ms = 80\n{live}'
        + f'[[cameras]]\nname = "right"\nmode = "triggered"\nlatency_ms = 80\n{live}'
    )
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, cameras))
    done = inspectd("check", file, "--settings-only")
    assert done.returncode == 0, done.stderr
    said = [line.partition(", ")[0] for line in done.stderr.splitlines() if "cameras[" in line]
    assert said[:3] == [
        "warning: cameras[0].kind: top replays pictures",
        'warning: cameras[1].mode: is "free" beside triggered cameras',
        "warning: cameras[3].source: is that of cameras[2] too",
    ]


def test_parts_among_the_pictures_of_the_empty_belt_are_warned_of(tmp_path, bank_file, good_folder):
    file = tmp_path / "line.toml"
    (tmp_path / "belt").mkdir()
    for number in range(10):
        shutil.copy(min(good_folder.iterdir()), tmp_path / f"belt/{number}.png")
    camera = camera_table("cam", good_folder) + '[cameras.presence]\nempty_folder = "belt"\n'
    file.write_text(settings(bank_file, camera))
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if "empty_folder" in line]
    assert " would pass by recipe cell: does it show a part? " in warning


def test_evidence_of_another_line_and_a_recipe_in_force_without_golden_parts_are_told(
    tmp_path, bank_file, good_folder, monkeypatch
):
    file, state = line_with_a_recipe(tmp_path, bank_file, good_folder)
    part = '[[golden.parts]]\nname = "g"\nrecipe = "cell"\nexpect = "fail"\n'
    file.write_text(file.read_text().replace("enabled = false", f'dir = "{tmp_path}/kept"', 1) + part)
    with AuditLog(state / "audit.jsonl") as log:
        in_force = InForce("a", 1, RecipeStore(state / "recipes").read("a", 1).sha256)
        log.append(AuditAction.ACTIVATE, who="anna", door="local", new=format_in_force(in_force))
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    assert "warning: golden.parts: recipe a@1 in force has none: its parts are judged without" in done.stderr
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/.line").write_text("test/other\n")
    done = inspectd("check", file)
    assert done.returncode == 2
    assert f"evidence.dir: {tmp_path}/kept has the evidence of line test/other, expected" in done.stderr
    monkeypatch.setenv("INSPECTD_LINE", "line9")
    assert "line.name: got 'line', expected 'line9'" in inspectd("check", file, "--settings-only").stderr


def test_a_deadline_that_this_machine_cannot_keep_is_warned_of(tmp_path, bank_file, good_folder):
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
