"""GigE Vision cameras found by a broadcast, and what a probe says of one."""

import socket
import threading

import pytest
from support.gige_camera import GigeCamera
from support.lone_network import lone_network

from inspectd.capture.genicam.discovery import ask_interface, interfaces
from inspectd.capture.probe import probe

pytestmark = pytest.mark.system


def test_a_camera_is_found_through_the_interface_it_is_at_and_probed():
    with lone_network(), GigeCamera(serial="GV09") as camera:
        assert interfaces() == ["lo"]
        asked = ask_interface("lo")
        found = probe(camera.settings(), 1.0)
        silent = probe(camera.settings(trigger_source="Line0"), 0.3)
    (answer,) = asked.found
    assert (answer.camera.serial, answer.camera.interface, answer.is_reachable) == ("GV09", "lo", True)
    assert (asked.problem, asked.mtu_bytes) == ("", 65536)
    # It does not say its time: nothing shows when the first one was taken, nor one far quicker than those.
    # A packet that this machine is too busy to send in time makes its frame partial.
    assert found.qualities.keys() - {"partial"} == {"stale", "ok"}
    assert found.qualities["ok"] > 0.8 * found.frames
    assert found.frames > 15
    facts = found.facts
    assert facts["pixel_format"] == "Mono8"
    assert facts["frame_bytes"] == 256 * 256
    assert 500 < facts["packet_bytes"] <= facts["path_mtu_bytes"]
    assert facts["most_socket_bytes"] > facts["frame_bytes"]
    assert facts["heartbeat_ms"] > 0
    assert (silent.frames, silent.interval_ms) == (0, None)


def answer_for_many(answering: socket.socket, cameras: int) -> None:
    """Answer a broadcast as so many cameras, whose names have line breaks, and nothing else."""
    request, asker = answering.recvfrom(2048)
    while request[1] != 0x11:
        request, asker = answering.recvfrom(2048)
    for number in range(cameras):
        said = bytearray(248)
        said[0x0A:0x10] = number.to_bytes(6, "big")
        said[0x24:0x28] = socket.inet_aton("127.0.0.9")
        said[0xE8:0xEC] = b"a\nb\x1b"
        answering.sendto(bytes((0, 0, 0, 3, 0, 248, 0, 1)) + said, asker)


def test_who_answers_for_many_cameras_neither_holds_up_nor_forges_lines():
    with lone_network(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as answering:
        answering.bind(("", 3956))
        many = threading.Thread(target=answer_for_many, args=(answering, 400))
        many.start()
        asked = ask_interface("lo")
        many.join()
    assert len(asked.found) <= 256
    assert asked.problem == ("256 answered, and no more were waited for" if len(asked.found) == 256 else "")
    assert {each.is_reachable for each in asked.found} == {False}
    assert {each.camera.user_name for each in asked.found} == {r"a\u000ab\u001b"}


def test_an_interface_that_cannot_broadcast_says_why():
    with lone_network():
        asked = ask_interface("nosuch")
    assert (asked.found, asked.problem.startswith("not asked: ")) == ([], True)
