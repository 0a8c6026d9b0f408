"""The settings of golden parts, and what of them does not fit together."""

import re
from pathlib import Path

import pytest

from inspectd import config
from inspectd.cli.init import example
from inspectd.errors import ConfigError

LINE = """
[[recipes]]
name = "a"
bank = "a.safetensors"
[[cameras]]
kind = "images"
name = "top"
recipe = "a"
folder = "pictures"
"""
PART = '[[golden.parts]]\nname = "crack"\nrecipe = "a"\nexpect = "fail"\n'


def load(tmp_path: Path, text: str) -> config.Config:
    file = tmp_path / "line.toml"
    file.write_text(LINE + text)
    return config.load(file)


def test_without_parts_there_are_no_checks_and_with_parts_the_careful_ones(tmp_path):
    assert load(tmp_path, "").golden == config.GoldenSettings()
    golden = load(tmp_path, PART).golden
    assert golden.parts == (config.GoldenPart(name="crack", recipe="a", expect="fail"),)
    assert (golden.at_start, golden.at_changeover, golden.interlock) == (True, True, "stop")


def test_the_example_shows_every_setting_of_a_part(tmp_path):
    table = example().split("\n#[[golden.parts]]\n")[1].split("\n\n")[0]
    settings = re.findall(r"^#(?:# )?(\w+ = .+)$", table, re.MULTILINE)
    assert {line.split(" =")[0] for line in settings} == set(config.GoldenPart.__struct_fields__)
    (part,) = load(tmp_path, "\n".join(["[[golden.parts]]", *settings])).golden.parts
    assert (part.name, part.cameras, part.score_max) == ("crack-1", ("top",), 20)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[golden]\nshift_starts = ["6:00"]\n' + PART,
            "golden.shift_starts[0]: got '6:00', expected such as 06:00, 22:30",
        ),
        (PART + PART, "golden.parts[1].name: 'crack' is taken by golden.parts[0], names must differ"),
        (PART + 'cameras = ["side"]', "golden.parts[0].cameras[0]: no camera 'side', expected one of: top"),
        (
            PART + 'cameras = ["top", "top"]',
            "golden.parts[0].cameras[1]: got 'top' again, expected each camera once",
        ),
        (
            PART
            + 'cameras = ["top", "side"]\n'
            + LINE[LINE.index("[[cameras]]") :].replace("top", "side")
            + 'mode = "triggered"\n',
            "golden.parts[0].cameras: 'side' is triggered and 'top' is not, expected cameras of one mode",
        ),
        (PART + "cameras = []", "golden.parts[0].cameras: got an array of 0, "),
        (
            PART + "score_min = 2\nscore_max = 1.5",
            "golden.parts[0].score_min: got 2, expected at most score_max, 1.5",
        ),
        (PART + "repeats = 0", "golden.parts[0].repeats: got 0, "),
        (PART.replace('"fail"', '"bad"'), "golden.parts[0].expect: got 'bad', expected one of pass, fail"),
        (PART.replace("expect", "expects"), "golden.parts[0].expects: unknown key (is expect meant?), "),
        (
            "[golden]\nat_start = false\nat_changeover = false\n" + PART,
            (
                "golden: has parts, but no check is ever due, expected one of at_start, at_changeover, "
                "interval_hours, interval_parts, shift_starts"
            ),
        ),
        (
            "[golden]\ninterval_hours = 8",
            "golden.interval_hours: is set, but there is no part to show, expected [[golden.parts]]",
        ),
        ('[golden]\nshift_starts = ["6:00"]\n' + PART, "golden.shift_starts[0]: got '6:00', "),
        ('[golden]\nshift_starts = ["24:00"]\n' + PART, "golden.shift_starts[0]: got '24:00', "),
        (
            '[golden]\nshift_starts = ["06:00", "06:00"]\n' + PART,
            "golden.shift_starts[1]: got '06:00' again, expected each time once",
        ),
        ('[golden]\ninterlock = "off"', "golden.interlock: got 'off', expected one of stop, warn"),
        ("[golden]\nparts = 3", "golden.parts: got 3, "),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(tmp_path, text, problem):
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text)
    assert [each for each in raised.value.problems if each.startswith(problem)], raised.value.problems
