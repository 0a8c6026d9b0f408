from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import msgspec
import pytest

from inspectd import config
from inspectd.cli.init import example
from inspectd.config import Settings
from inspectd.errors import ConfigError
from inspectd.fleet import settings as forward
from inspectd.fleet.agent import settings as agent
from inspectd.gateways.modbus import settings as modbus
from inspectd.gateways.opcua import settings as opcua
from inspectd.gateways.s7 import settings as s7
from inspectd.gateways.sparkplug import settings as sparkplug
from inspectd.page import settings as page

MINIMAL = """
[[recipes]]
name = "a"
bank = "banks/a.safetensors"
[[cameras]]
kind = "images"
name = "cam"
recipe = "a"
folder = "pictures"
"""


def load(tmp_path: Path, text: str) -> config.Config:
    file = tmp_path / "line.toml"
    file.write_text(text)
    return config.load(file)


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text)
    assert raised.value.exit_code == 2
    return raised.value.problems


def test_paths_are_taken_from_the_files_own_folder(tmp_path):
    settings = load(tmp_path, MINIMAL)
    assert settings.recipes[0].bank == str(tmp_path / "banks/a.safetensors")
    assert settings.cameras[0].folder == str(tmp_path / "pictures")


@pytest.mark.parametrize(
    ("source", "expected"),
    [("0", 0), ('"rtsp://user:word@host/x"', "rtsp://user:word@host/x"), ('"film.mp4"', "{}/film.mp4")],
)
def test_a_camera_source_is_an_index_a_url_or_a_file(tmp_path, source, expected):
    camera = f'kind = "opencv"\nname = "cam"\nrecipe = "a"\nsource = {source}\n'
    settings = load(tmp_path, MINIMAL.split('kind = "images"', maxsplit=1)[0] + camera)
    assert settings.cameras[0].source == (
        expected.format(tmp_path) if isinstance(expected, str) else expected
    )


def test_all_problems_are_found_at_once_each_with_its_path(tmp_path):
    text = MINIMAL.replace('folder = "pictures"', "folder = 3\nfsp = 5\nslots = 1") + (
        '[[cameras]]\nkind = "opencv"\nname = "cam"\nrecipe = "b"\nsource = 0\n'
        '[[cameras]]\nkind = "gige"\nname = "x"\nrecipe = "a"\n'
        '[line]\ndeadline_ms = -1\nname = "a/b"\n[publish]\nverdicts_tcp = "0.0.0.0:1"\n[nonsense]\n'
    )
    found = problems(tmp_path, text)
    paths = [problem.split(":")[0] for problem in found]
    assert sorted(paths) == sorted([
        "cameras[0].folder", "cameras[0].fsp", "cameras[0].slots", "cameras[1].name", "cameras[1].recipe",
        "cameras[2].kind", "line.deadline_ms", "line.name", "publish.verdicts_tcp", "nonsense",
    ])  # fmt: skip
    assert "got -1, expected a number >= 1.0" in found[paths.index("line.deadline_ms")]
    kinds = sorted(kind.__struct_config__.tag for kind in get_args(config.Camera))
    assert f"expected one of {', '.join(kinds)}" in found[paths.index("cameras[2].kind")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('deadline_ms = "fast"', "line.deadline_ms: got 'fast', expected a number"),
        ("name = 3", "line.name: got 3, expected a text in quotes"),
        ("dealine_ms = 3.0", "line.dealine_ms: unknown key (is deadline_ms meant?), expected one of "),
        ("colour = 3", "line.colour: unknown key, expected one of "),
    ],
)
def test_what_was_expected_is_said_in_words_and_what_may_be_meant(tmp_path, line, said):
    (problem,) = problems(tmp_path, f"{MINIMAL}[line]\n{line}\n")
    assert problem.startswith(said)
    assert "`" not in problem


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("framerate = 5", "cameras[0].framerate: unknown key (is fps meant?), expected one of "),
        ("FPS = 5", "cameras[0].FPS: unknown key (is fps meant?), expected one of "),
        ('Path = "x"', "cameras[0].Path: unknown key (is folder meant?), expected one of "),
        ("fps = 0", "cameras[0].fps: got 0, expected a number > 0.0 (frames per second)"),
        (
            "slots = 1",
            "cameras[0].slots: got 1, expected a whole number >= 2 (frame slots in its shared-memory",
        ),
        (
            "slots = 2.5",
            "cameras[0].slots: got 2.5, expected a whole number (frame slots in its shared-memory",
        ),
        (
            "[journal]\ndays = 0",
            "journal.days: got 0, expected a number > 0.0 (remove verdicts older than this",
        ),
        ("[metrics]\nport = 70000", "metrics.port: got 70000, expected a whole number <= 65535 (TCP port)"),
    ],
)
def test_a_setting_under_another_programs_name_and_what_a_number_counts_are_said(tmp_path, line, said):
    (problem,) = problems(tmp_path, f"{MINIMAL}{line}\n")
    assert problem.startswith(said)


def test_a_threshold_of_text_is_told_apart_from_one_left_out(tmp_path):
    (problem,) = problems(tmp_path, MINIMAL.replace("[[recipes]]", '[[recipes]]\nthreshold = "high"', 1))
    assert problem == "recipes[0].threshold: got 'high', expected a number"


def numbers(kind: object, metas: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """What bounds each number with decimals of a setting's type."""
    if kind is float:
        yield metas
    for inner in get_args(kind)[: 1 if get_origin(kind) is Annotated else None]:
        yield from numbers(inner, (*metas, *getattr(kind, "__metadata__", ())))


def tables(kind: type[Settings]) -> Iterator[type[Settings]]:
    for each in kind.__subclasses__():
        yield each
        yield from tables(each)


def test_every_number_has_an_upper_limit() -> None:
    """Else infinity is taken for one, and whoever makes nanoseconds of it ends."""
    unbounded = {
        name
        for table in tables(Settings)
        for name, kind in get_type_hints(table, include_extras=True).items()
        for metas in numbers(kind)
        if not any(getattr(meta, "le", None) or getattr(meta, "lt", None) for meta in metas)
    }
    assert unbounded == {"features"}  # the camera has limits of its own


def test_folders_above_the_files_own_are_named_without_dots(tmp_path):
    settings = load(tmp_path, f'{MINIMAL}[line]\nstate_dir = "../../state"\n')
    assert settings.line.state_dir == str(tmp_path.resolve().parents[1] / "state")


def test_a_folder_in_place_of_the_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="is a folder, expected a TOML file"):
        config.load(tmp_path)


def test_another_file_in_its_place_is_not_read_whole(tmp_path):
    file = tmp_path / "line.toml"
    with file.open("wb") as opened:
        opened.truncate(1 << 40)
    with pytest.raises(ConfigError, match="has more than 4 MB, expected a TOML file; is another file meant"):
        config.load(file)


LIVE = MINIMAL.replace('kind = "images"', 'kind = "opencv"').replace('folder = "pictures"', "source = 0")
GIGE = LIVE.replace('kind = "opencv"', 'kind = "genicam"').replace("source = 0", 'device = "serial:1"')


@pytest.mark.parametrize(
    ("camera", "is_asked"),
    [
        (LIVE + 'mode = "triggered"', True),
        (LIVE.replace("source = 0", 'source = "http://host/video"') + 'mode = "triggered"', True),
        (LIVE + 'mode = "triggered"\nlatency_ms = 0', False),  # it was written
        (LIVE + 'mode = "free"', False),
        (
            LIVE.replace("source = 0", 'source = "film.mp4"') + 'mode = "triggered"',
            False,
        ),  # is read as it is played
        (MINIMAL + 'mode = "triggered"', False),
    ],
)
def test_the_latency_of_a_live_triggered_camera_has_no_default(tmp_path, camera, is_asked):
    if not is_asked:
        assert load(tmp_path, camera).cameras[0].latency_span_ns == (0, 0)
        return
    (problem,) = problems(tmp_path, camera)
    assert problem.startswith("cameras[0].latency_ms: is missing, expected the longest time from exposure")
    assert "`inspectd camera latency cam --config FILE` measures it" in problem
    assert config.load(tmp_path / "line.toml", unmeasured=True).cameras[0].latency_ms is None


def test_a_missing_latency_is_found_beside_the_tables_other_faults(tmp_path):
    found = problems(tmp_path, LIVE + 'mode = "triggered"\nslots = 1\nlatency_min_ms = "x"\nfsp = 3')
    assert sorted(problem.split(":")[0] for problem in found) == [
        "cameras[0].fsp", "cameras[0].latency_min_ms", "cameras[0].latency_ms", "cameras[0].slots",
    ]  # fmt: skip


@pytest.mark.parametrize("told", ["latency_min_ms = 3", "latency_ms = 2\nlatency_min_ms = 3"])
def test_the_shortest_latency_is_not_above_the_longest(tmp_path, told):
    (problem,) = problems(tmp_path, MINIMAL + told)
    assert problem.startswith("cameras[0].latency_min_ms: got 3, expected ")


@pytest.mark.parametrize(
    ("latency_ms", "more", "misses"),
    [
        (99, "", False),
        (100, "", True),
        (149, '[triggers]\nmatch = "nearest"', False),
        (150, '[triggers]\nmatch = "nearest"', True),
        (80, "[line]\ndeadline_ms = 70", True),
        (80, "[line]\ndeadline_ms = 70\n[triggers]\nwindow_ms = 300", True),
    ],
)
def test_a_latency_with_which_every_part_is_missed_is_refused(tmp_path, latency_ms, more, misses):
    text = f'{LIVE}mode = "triggered"\nlatency_ms = {latency_ms}\n{more}'
    if not misses:
        assert load(tmp_path, text).cameras[0].latency_ms == latency_ms
        return
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(f"cameras[0].latency_ms: got {latency_ms}, but ")
    assert "every part is missed" in problem


def test_what_is_missing_is_said_with_what_belongs_there(tmp_path):
    assert problems(tmp_path, "") == [
        "recipes: is missing, expected at least one",
        "cameras: is missing, expected at least one",
    ]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:5571", ("127.0.0.1", 5571)),
        ("[::1]:5571", ("[::1]", 5571)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_loopback_addresses_are_taken(address, expected):
    assert config.tcp_address(address) == expected


@pytest.mark.parametrize(
    "address", ["0.0.0.0:1", "10.0.0.1:5571", "*:5571", "127.0.0.1", "127.0.0.1:0", "a:b:70000"]
)
def test_other_addresses_are_refused(address):
    with pytest.raises(ValueError, match="expected"):
        config.tcp_address(address)


def test_two_sockets_on_one_port_are_a_problem(tmp_path):
    text = MINIMAL + '[publish]\nverdicts_tcp = "127.0.0.1:5"\nheatmaps_tcp = "127.0.0.1:5"\n'
    assert problems(tmp_path, text) == [
        "publish.heatmaps_tcp: 127.0.0.1:5 is also publish.verdicts_tcp, expected a port of its own"
    ]


@pytest.mark.parametrize("text", ["[line", "a = ", "\x00", "a = " + "[" * 2000, "a = " + "9" * 5000])
def test_a_file_that_is_no_toml_is_one_problem(tmp_path, text):
    assert "is not TOML" in problems(tmp_path, text)[0]


def test_a_number_too_long_to_write_out_is_one_problem(tmp_path):
    (problem,) = problems(tmp_path, f"{MINIMAL}slots = 0x{'f' * 5000}")
    assert problem.startswith("cameras[0].slots: got a number beyond 64 bits, ")


def test_a_name_does_not_end_with_a_line_break(tmp_path):
    (problem,) = problems(tmp_path, MINIMAL.replace('name = "cam"', 'name = "cam\\n"'))
    assert problem == (
        "cameras[0].name: got 'cam\\n', expected letters, digits, - and _, at most 63, "
        "a letter or digit first, such as side-2"
    )


def test_a_file_that_is_not_there_is_one_problem(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "nowhere.toml")


def test_the_example_is_sound_and_shows_every_default(tmp_path):
    settings = load(tmp_path, example())
    assert settings.line == config.LineSettings()
    assert settings.batching == config.Batching()
    assert settings.cameras[0].quality == config.QualityGate()
    commented = example().replace("\n#[[", "\n[[").replace("\n#", "\n")
    assert "[[cameras]]" in commented


def test_the_shipped_example_is_what_init_writes():
    shipped = Path(__file__).parents[2] / "config" / "inspectd.toml"
    assert shipped.read_text() == example(), "run: inspectd init config (after removing config/inspectd.toml)"


def test_keys_let_tcp_leave_the_host_and_so_does_insecure(tmp_path):
    publish = '[publish]\nverdicts_tcp = "10.0.0.1:5"\ncontrol_tcp = "127.0.0.1:6"\n'
    (problem,) = problems(tmp_path, MINIMAL + publish)
    assert (
        "plain TCP is for this host only: expected 127.0.0.1 or [::1], or keys (security.keys_dir)" in problem
    )
    file = tmp_path / "line.toml"
    file.write_text(MINIMAL + publish + '[security]\nkeys_dir = "keys"\n')
    settings = config.load(file)
    assert settings.security.keys_dir == str(tmp_path / "keys")
    assert config.insecure_endpoints(settings) == []
    file.write_text(MINIMAL + publish + "[security]\ninsecure = true\n")
    assert config.insecure_endpoints(config.load(file)) == ["publish.verdicts_tcp"]
    assert problems(tmp_path, MINIMAL + '[security]\nkeys_dir = "keys"\ninsecure = true\n') == [
        "security.insecure: got true together with security.keys_dir, expected only one"
    ]


def test_a_certificate_needs_its_key(tmp_path):
    assert problems(tmp_path, MINIMAL + '[metrics]\ntls_certificate = "cert.pem"\n') == [
        "metrics: has one of tls_certificate and tls_key, expected both or none"
    ]


def test_a_recipes_hash_is_that_of_its_settings_as_canonical_json():
    recipe = config.Recipe(name="cells", bank="/somewhere/cells.safetensors")
    elsewhere = config.Recipe(name="cells", bank="cells.safetensors")
    named = config.recipe_sha256(recipe, 2.5, "ab")
    marked = msgspec.structs.replace(recipe, check_above=2.0)
    assert config.recipe_sha256(marked, 2.5, "ab") != named
    assert "check_above" not in config.effective_settings(recipe, 2.5, "ab")
    assert named == config.recipe_sha256(elsewhere, 2.5, "ab")
    text = json.dumps(config.effective_settings(recipe, 2.5, "ab"), sort_keys=True, separators=(",", ":"))
    assert named == hashlib.sha256(text.encode()).hexdigest()
    looked_at = config.Recipe(name="cells", bank="x", accept_threshold=True)
    assert named == config.recipe_sha256(looked_at, 2.5, "ab")
    assert len({named, config.recipe_sha256(recipe, 2.6, "ab"), config.recipe_sha256(recipe, 2.5, "ac")}) == 3


@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        (
            'devices = ["cuda:0", "cpu", "cuda:0"]',
            "scoring.devices[2]: got 'cuda:0' again, expected each card once",
        ),
        ('device = "cuda"\ndevices = ["cuda:0"]', "scoring.device: got 'cuda' together with scoring.devices"),
        ('devices = ["cuda"]', "scoring.devices[0]: got 'cuda', "),
        ('devices = ["auto"]', "scoring.devices[0]: got 'auto', "),
        ('devices = "cpu"', "scoring.devices: got 'cpu', "),
    ],
)
def test_devices_that_cannot_each_have_a_process_are_refused(tmp_path, settings, begins):
    (problem,) = problems(tmp_path, f"{MINIMAL}\n[scoring]\n{settings}\n")
    assert problem.startswith(begins)


def test_devices_are_taken_as_they_are(tmp_path):
    devices = 'device = "auto"\ndevices = ["cuda:1", "cuda:0", "cpu", "cpu"]'
    settings = load(tmp_path, f"{MINIMAL}\n[scoring]\n{devices}\n")
    assert settings.scoring.devices == ("cuda:1", "cuda:0", "cpu", "cpu")


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        (MINIMAL + "exposure_us = 123.4\ngain_db = 6", None),
        (LIVE + "exposure_us = 5000\nsettle_ms = 200", None),
        (LIVE + "exposure_us = 5000", "cameras[0].settle_ms: is missing, expected the longest time"),
        (GIGE + "exposure_us = 5000", "cameras[0].settle_ms: is missing, expected the longest time"),
        (GIGE + "exposure_us = 5000\nchunks = true", None),
        (LIVE + "exposure_us = 5050\nsettle_ms = 200", "cameras[0].exposure_us: got 5050, expected a mul"),
        (LIVE + "gain_db = 6\nsettle_ms = 200", "cameras[0].gain_db: got 6, but the gain of a device"),
        (LIVE.replace("source = 0", 'source = "rtsp://h/v"') + "exposure_us = 5000",
         "cameras[0].exposure_us: got 5000, but nothing can be set of a stream"),
        (LIVE.replace("source = 0", 'source = "film.mp4"') + "gain_db = 1",
         "cameras[0].gain_db: got 1, but nothing can be set of a file"),
        (LIVE + 'fourcc = "Y12 "\nbit_depth = 12', None),
        (LIVE.replace("source = 0", 'source = "film.mp4"') + "bit_depth = 10",
         "cameras[0].bit_depth: got 10, expected 8 of a file"),
        (MINIMAL + "exposure_us = 0", "cameras[0].exposure_us: got 0, expected"),
    ],
)  # fmt: skip
def test_a_camera_is_set_only_to_what_its_kind_has(tmp_path, camera, said):
    if said is None:
        load(tmp_path, camera)
        return
    (problem,) = problems(tmp_path, camera)
    assert problem.startswith(said)


def test_no_text_has_a_nul(tmp_path):
    text = MINIMAL.replace('"pictures"', '"a\\u0000b"\npresence.empty_folder = "c\\u0000d"')
    found = sorted(problem.partition(":")[0] for problem in problems(tmp_path, text))
    assert found == ["cameras[0].folder", "cameras[0].presence.empty_folder"]
    assert all("x00" in each and "expected a text without NUL" in each for each in problems(tmp_path, text))
    assert config.examine(tmp_path / "line.toml").cameras == []  # which nothing is to try out


def test_a_path_from_a_home_folder_is_not_taken_as_it_stands(tmp_path):
    text = MINIMAL.replace("banks/a", "~/a").replace('"pictures"', '"~"')
    found = problems(tmp_path, text + '[line]\nstate_dir = "~kim/state"\n')
    paths = (
        "recipes[0].bank: got '~/a.safe",
        "cameras[0].folder: got '~', ",
        "line.state_dir: got '~kim/state'",
    )
    assert len(found) == 3
    for path in paths:
        assert any(each.startswith(path) and "expected a path that is written out" in each for each in found)
    assert load(tmp_path, MINIMAL.replace("banks/a", "~a")).recipes[0].bank == str(
        tmp_path / "~a.safetensors"
    )
    file = tmp_path / "page.toml"
    file.write_text('[store]\ndir = "~/store"\n')
    with pytest.raises(ConfigError, match=r"store\.dir: got '~/store', expected a path that is written out"):
        page.load(file)


def test_a_service_takes_no_file_of_another_line(tmp_path, monkeypatch):
    text = MINIMAL + '[line]\nname = "line2"\n'
    monkeypatch.setenv("INSPECTD_LINE", "line2")
    assert load(tmp_path, text).line.name == "line2"
    monkeypatch.setenv("INSPECTD_LINE", "line3")
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(
        "line.name: got 'line2', expected 'line3', the line that this service was started"
    )


@pytest.mark.parametrize("program", [modbus, s7, opcua, sparkplug, forward, agent, page])
def test_nor_does_any_program_beside_a_line(tmp_path, monkeypatch, program):
    monkeypatch.setenv("INSPECTD_LINE", "line3")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    file = tmp_path / "other.toml"
    file.write_text('[line]\nname = "line2"\n')
    with pytest.raises(ConfigError, match=r"line\.name: got 'line2', expected 'line3', the line that this"):
        program.load(file)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%eth0", "plant-pc", "0.0.0.0"])
def test_a_host_is_an_address_without_a_port(tmp_path, host):
    assert load(tmp_path, f'{MINIMAL}[metrics]\nhost = "{host}"\n').metrics.host == host
    (problem,) = problems(tmp_path, MINIMAL + '[metrics]\nhost = "127.0.0.1:9464"\n')
    assert problem.startswith(
        "metrics.host: got '127.0.0.1:9464', expected an address alone, as the port is a"
    )
