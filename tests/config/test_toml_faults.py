"""Mistakes that people make in TOML files are told with the line and what to do."""

from __future__ import annotations

import pytest

from inspectd import config
from inspectd.errors import ConfigError

CAMERA = '[[recipes]]\nname = "a"\nbank = "b"\n[[cameras]]\nname = "top"\nkind = "images"\nrecipe = "a"\n'


def problems(tmp_path, content: bytes) -> list[str]:
    file = tmp_path / "line.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        config.load(file)
    return raised.value.problems


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[line]\nplant = gimje", "line 2, plant = gimje: expected a number, true, false, or a text in str"),
        ("[line]\nplant = “gimje”", "line 2, plant = “gimje”: curly quotes; write straight ones"),
        ("[line]\nplant = ", "the value is missing after ="),
        ('[line]\nplant = "gimje\nname = "a"', 'line 2, plant = "gimje: the quote that opens a text'),
        ('folder = "C:\\Users\\x"', 'line 1, folder = "C:\\Users\\x": in double quotes \\ begins an escape'),
        ("fps = 5,0", "line 1, fps = 5,0: a number has a point for its decimals"),
        ("preload = True", "line 1, preload = True: expected true or false, in small letters"),
        ("fps = 5 ms", "line 1, fps = 5 ms: nothing but a comment"),
        ("line:\n  plant: gimje", "line 1, line:: expected KEY = VALUE"),
        ("[line]\n[line]\na = 1", "line 2, [line]: it is there twice"),
        ("[line", "line 1, [line: a table's heading ends with ]"),
        ('shift_starts = ["06:00" "14:00"]', 'shift_starts = ["06:00" "14:00"]: a list that was begun'),
        ("verdicts_tcp = 10.1.2.3:5571", "verdicts_tcp = 10.1.2.3:5571: nothing but a comment"),
    ],
)
def test_the_line_is_shown_with_what_to_do(tmp_path, text, said):
    (found,) = problems(tmp_path, text.encode())
    assert found.startswith("is not TOML")
    assert said in found


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("source = rtsp://user:word@10.0.0.1/x", "source = ***: expected a number"),
        ('source = "rtsp://user:word@10.0.0.1/x', "source = ***: the quote"),
        ('"rtsp://10.0.0.1/x?word=word", word', "***: "),
        ('a = { "rtsp://u:word@h" = 1, "rtsp://u:word@h" = 2 }', "a = ***: not as TOML is written"),
        ("user_password = word", "user_password = ***: expected"),
        ('source = "rtsp:\\\\admin:word\\cam"', "source = ***: in double quotes"),
        ("source = rtsp//admin:word/cam", "source = ***: expected a number"),
        ('source = "4711:word', "source = ***: the quote"),
        ('[["a:word"', "***: the heading"),
    ],
)
def test_what_may_be_a_password_is_not_shown(tmp_path, line, shown):
    (found,) = problems(tmp_path, f"{line}\nb = 1\n".encode())
    assert f"line 1, {shown}" in found
    assert "word" not in found.replace("user_password", "")


def test_other_encodings_are_named_with_what_to_do(tmp_path):
    (found,) = problems(tmp_path, "[line]\n".encode("utf-16"))
    assert "UTF-16" in found
    assert "save it with the encoding UTF-8" in found
    (found,) = problems(tmp_path, '[line]\nplant = "Gießen"'.encode("latin-1"))
    assert found == "is not UTF-8 text: byte 0xdf in line 2; save it as UTF-8"


def test_a_heading_with_too_few_brackets_is_told_as_that(tmp_path):
    text = CAMERA.replace("[[cameras]]", "[cameras]")
    assert any(
        found.endswith("write [[cameras]] as the heading of each")
        for found in problems(tmp_path, text.encode())
    )
    (found,) = problems(tmp_path, f'{CAMERA}folder = "f"\nregions = {{ name = "x" }}\n'.encode())
    assert "write [[cameras.regions]] as" in found


def test_a_camera_is_named_and_known_keys_are_told_once(tmp_path):
    camera = '[[cameras]]\nkind = "images"\nrecipe = "a"\nfolder = "f"\nfodler = "f"\nbits = 3\n'
    head = '[[recipes]]\nname = "a"\nbank = "b"\n'
    text = head + "".join(f'{camera}name = "{name}"\n' for name in ("top", "side"))
    found = problems(tmp_path, text.encode())
    names = ["cameras[0] is 'top')", "cameras[1] is 'side')"]
    assert [problem.rpartition(" (")[2] for problem in found] == [name for name in names for _ in range(2)]
    assert [("reconnect_min_ms" in problem, "folder meant?" in problem) for problem in found] == [
        (True, True), (False, False), (False, True), (False, False),
    ]  # fmt: skip
