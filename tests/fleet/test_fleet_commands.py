"""`inspectd fleet` for people: orders from file to signature, and errors that say what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.agents import make_recipe

from inspectd import cli
from inspectd.fleet.agent.order import decode_order, decode_signed
from inspectd.fleet.agent.settings import load, load_publisher
from inspectd.fleet.agent.signing import verified
from inspectd.fleet.agent.state import AcceptedOrder, StateFolder


@pytest.fixture
def fleet(capsys):
    """Runs `inspectd fleet`: the exit code, and what was said."""

    def run(*words: object) -> tuple[int, str]:
        capsys.readouterr()
        code = cli.main(["fleet", *map(str, words)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out + said.err

    return run


def plan(folder: Path, archive: Path, more: str = "") -> Path:
    file = folder / "rollout.toml"
    file.write_text(
        f'[order]\nplant = "test"\narchive = "{archive}"\nwhy = "new glass"\n{more}'
        '[band]\nmax_reject_share = 0.03\n[[waves]]\nlines = ["l1"]\nwatch_minutes = 240\n'
        '[[waves]]\nlines = ["l2", "l3"]\n'
    )
    return file


def test_from_a_file_to_an_order_that_two_people_signed(fleet, tmp_path) -> None:
    made = make_recipe(tmp_path, megabytes=2)
    order = tmp_path / "order.json"
    code, said = fleet("order", plan(tmp_path, made.archive), "--out", order)
    assert code == 0, said
    for words in ("cells@1", "wave 1       l1, watched for 240 min", "wave 2       l2, l3", "nobody yet",
                  "0.00% to 3.00%", made.bank_sha256):  # fmt: skip
        assert words in said
    keys = {}
    for name in ("anna", "otto"):
        code, said = fleet("new-signer", tmp_path / name)
        keys[name] = said.split()[-1]
        code, said = fleet("sign", order, "--name", name, "--key", tmp_path / f"{name}.signer")
        assert code == 0, said
    assert "signed by    anna, otto" in said
    found, by = verified(decode_signed(order.read_bytes()), keys)
    assert (found.recipe, by, found.lines) == (made.ordered, ["anna", "otto"], ["l1", "l2", "l3"])
    assert fleet("show", order)[0] == 0
    code, said = fleet("order", plan(tmp_path, made.archive), "--out", order)
    assert (code, "never replaced" in said) == (2, True)


def test_examples_are_read_again(fleet, tmp_path) -> None:
    assert fleet("init", tmp_path)[0] == 0
    code, said = fleet("--config", tmp_path / "fleet.toml")
    assert code == 2
    assert "servers.seed_file" in said
    assert "signers: got 0, expected 2 or more" in said
    text = (tmp_path / "fleet.toml").read_text()
    text = text.replace("# seed_file", "seed_file").replace("\n#[[", "\n[[")
    (tmp_path / "fleet.toml").write_text(text.replace("\n#name", "\nname").replace("\n#key", "\nkey"))
    assert sorted(load(tmp_path / "fleet.toml").people) == ["anna", "otto"]
    publish = tmp_path / "publish.toml"
    publish.write_text(publish.read_text().replace("# seed_file", "seed_file"))
    assert load_publisher(publish).seed_file == str(tmp_path / "line1.nk")
    code, said = fleet("order", tmp_path / "rollout.toml", "--out", tmp_path / "o")
    assert (code, "cells.zip" in said) == (2, True)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('begins = "tomorrow"\n', "order.begins: got 'tomorrow', expected a time with its zone"),
        ('begins = "2026-12-01T06:00:00"\n', "expected a time with its zone"),
        ("serial = -1\n", "order.serial"),
        ("colour = 1\n", "colour"),
    ],
)
def test_a_rollout_that_is_wrong_is_said(fleet, tmp_path, more: str, words: str) -> None:
    made = make_recipe(tmp_path)
    code, said = fleet("order", plan(tmp_path, made.archive, more), "--out", tmp_path / "order.json")
    assert (code, words in said) == (2, True), said
    assert not (tmp_path / "order.json").exists()


def test_what_cannot_be_published_is_said(fleet, tmp_path) -> None:
    made = make_recipe(tmp_path)
    order, config = tmp_path / "order.json", tmp_path / "publish.toml"
    fleet("order", plan(tmp_path, made.archive), "--out", order)
    fleet("new-signer", tmp_path / "anna")
    from_forward = ["forward", "new-key", str(tmp_path / "publisher")]
    assert cli.main(from_forward) == 0
    config.write_text(
        f'[servers]\naddresses = ["tls://127.0.0.1:1"]\nseed_file = "{tmp_path}/publisher.nk"\n'
    )
    for words in (("rollout", order), ("desire", order)):
        code, said = fleet(*words, "--config", config)
        assert (code, "expected 2 different people" in said) == (2, True), said
    order.write_bytes(b"{}")
    code, said = fleet("show", order)
    assert (code, "`inspectd fleet order` makes orders" in said) == (2, True), said
    code, said = fleet("make-streams", "--plant", "test", "--config", config)
    assert (code, "the plant's servers" in said) == (3, True), said


def test_what_the_agent_remembers_is_whole_or_refused(tmp_path) -> None:
    folder = StateFolder(str(tmp_path))
    folder.make()
    assert folder.read() == AcceptedOrder()
    folder.write(AcceptedOrder(7, is_done=True, version=3))
    assert folder.read().serial == 7
    file = tmp_path / "accepted.json"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(Exception, match="says which orders are old"):
        folder.read()
    other = folder.fetched("a" * 64)
    other.write_bytes(b"x")
    folder.fetched("b" * 64)
    assert not other.exists(), "one archive at a time"


def test_the_text_of_an_order_is_what_its_file_says(fleet, tmp_path) -> None:
    made = make_recipe(tmp_path)
    more = 'begins = "2026-12-01T06:00:00+09:00"\nserial = 4\ndays = 2.0\n'
    fleet("order", plan(tmp_path, made.archive, more), "--out", tmp_path / "order.json")
    order = decode_order(decode_signed((tmp_path / "order.json").read_bytes()).text)
    assert (order.serial, order.not_before_utc_ns) == (4, 1_796_072_400 * 10**9)
    assert order.until_utc_ns - order.not_before_utc_ns == 2 * 86_400 * 10**9


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "new", "PLACE"),
        ("forward", "new-key", "PLACE"),
        ("fleet", "new-signer", "PLACE"),
        ("fleet", "order", "rollout.toml", "--out", "PLACE"),
    ],
)
def test_a_place_that_cannot_be_looked_at_is_said(words, tmp_path, capsys) -> None:
    """A name too long for a file stands for a folder without rights, which root does not know."""
    place = str(tmp_path / ("x" * 300))
    assert cli.main([place if word == "PLACE" else word for word in words]) == 2
    assert "cannot be read: File name too long" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["-1", "0", "nan", "inf", "much"])
@pytest.mark.parametrize(
    "words",
    [
        ("fleet", "make-streams", "--plant", "p", "--config", "f", "--gb"),
        ("fleet", "rollout", "order.json", "--config", "f", "--every"),
        ("forward", "make-streams", "--config", "f", "--key", "k", "--days"),
    ],
)
def test_a_number_that_is_none_is_refused_in_words(words, value, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, value])
    assert ended.value.code == 2
    assert f"got '{value}', expected a number above 0" in capsys.readouterr().err


def test_what_is_no_file_or_far_too_long_is_no_order(fleet, tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(bytes(3_000_000))
    for file, words in (
        (tmp_path / "pipe", "is not a regular file"),
        ("/dev/zero", "is not a regular file"),
        (tmp_path / "long", "has more than 2000000 bytes"),
    ):
        code, said = fleet("show", file)
        assert (code, words in said) == (2, True), said
