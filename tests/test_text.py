"""No text of a stranger reaches a terminal, a table or a page raw."""

from __future__ import annotations

import errno
import json
import logging
import socket
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd import log
from inspectd.text import cannot_listen, counted, few, json_line, printable, printable_lines, why

_ANY = st.text(st.characters(exclude_categories=()))


@given(_ANY)
def test_nothing_a_terminal_obeys_is_left_and_all_of_it_can_be_encoded(text):
    shown = printable(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode()


@given(_ANY)
def test_printable_text_stays_as_it_is(text):
    assert printable(printable(text)) == printable(text)
    if text.isprintable():
        assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Prüfstand 3 €", "Prüfstand 3 €"),
        ("a\nb\x1b[2J\x9b\x7f\0", "a\\u000ab\\u001b[2J\\u009b\\u007f\\u0000"),
        ("caf\udce9.png", "caf\\udce9.png"),
        ("\u202egnp", "\\u202egnp"),
        ("\U000e0001", "\\udb40\\udc01"),
    ],
)
def test_the_escape_is_that_of_json(text, shown):
    assert printable(text) == shown


def test_lines_stay_lines():
    assert printable_lines("a\n\x1bb") == "a\n\\u001bb"


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text()) | st.integers(-5, 5)))
def test_json_is_one_printable_line_that_reads_back(value):
    line = json_line(value)
    assert line == printable(line)
    assert json.loads(line) == value


def test_a_file_name_that_is_not_utf8_is_told_in_json_by_its_escape():
    assert json.loads(json_line({"unreadable": ["caf\udce9.png"]})) == {"unreadable": ["caf\\udce9.png"]}


@pytest.mark.parametrize("shape", ["text", "json"])
def test_a_line_of_the_log_is_one_line_that_a_terminal_does_not_obey(capfd, shape):
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        log.setup("info", shape)
        log.event(logging.getLogger("x"), logging.INFO, "e", a="\x1b[2J", b="\u202eb c\n", c="caf\udce9.png")
        for handler in root.handlers:
            handler.flush()
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.isprintable()
    assert line.count("\\u001b[2J") == 1
    if shape == "json":
        assert json.loads(line)["a"] == "\x1b[2J"


def test_what_is_counted_is_singular_or_plural():
    assert [counted(number, "camera") for number in (0, 1, 2, 1200)] == [
        "0 cameras", "1 camera", "2 cameras", "1,200 cameras",
    ]  # fmt: skip


def test_of_many_names_the_first_are_told():
    assert few(["a", "b"], "size", 2) == "a, b"
    assert few(["a", "b", "c"], "size", 2) == "a, b and 1 more size"


def test_an_error_is_told_as_the_system_does_and_else_as_it_is():
    wrapped = OSError(errno.EADDRINUSE, "error while attempting to bind on ('::1', 1): address in use")
    assert why(wrapped) == "Address already in use"
    assert why(OSError("no name")) == "no name"


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError(errno.EADDRINUSE, "x"), "stop what uses it (this program, if it runs already), or choose"),
        (OSError(errno.EADDRNOTAVAIL, "x"), "expected an address of this host (`ip address` shows them)"),
        (PermissionError(errno.EACCES, "x"), "ports below 1024 take CAP_NET_BIND_SERVICE"),
        (socket.gaierror(-2, "unknown"), "expected an address of this host, and a port that nobody uses"),
    ],
)
def test_where_a_program_cannot_listen_it_is_said_what_to_do_about_that_cause(error, remedy):
    said = cannot_listen("modbus.host, modbus.port", "plc", 502, error)
    assert said.startswith("modbus.host, modbus.port: cannot listen on plc:502: ")
    assert f"; {remedy}" in said
