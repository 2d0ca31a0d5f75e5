"""What is recorded of the output."""

import io
import logging
import os
import sys

from hypothesis import given
from hypothesis import strategies as st

from observers.tee import Capture, Tee, clean


def test_clean_leaves_what_a_terminal_shows_at_last():
    assert clean("\x1b[1;32mgreen\x1b[0m") == "green"
    assert clean("10%\r20%\r30%") == "30%"
    assert clean("windows\r") == "windows"
    assert clean("\x1b]0;title\x07text") == "text"
    assert clean("\x1b[2K\x1b[1A") == ""


@given(st.lists(st.text(alphabet="ab \n\r\x1b[0m", max_size=8), max_size=12))
def test_records_the_same_however_the_text_is_cut(pieces):
    whole, cut = [], []
    for kept, parts in ((whole, ["".join(pieces)]), (cut, pieces)):
        tee = Tee(io.StringIO(), kept.append)
        for part in parts:
            tee.write(part)
        tee.finish()
    assert whole == cut
    assert all(line.endswith("\n") and "\x1b" not in line and "\r" not in line for line in whole)


def test_capture_appends_at_every_line_and_gives_the_streams_back(tmp_path, capsys):
    before = sys.stdout, sys.stderr
    capture = Capture(tmp_path / "cout.txt", failed=lambda error: None)
    capture.start()
    print("one")
    assert (tmp_path / "cout.txt").read_text() == "one\n"
    print("50%", end="\r")
    print("100%", end="")
    capture.stop()
    assert (sys.stdout, sys.stderr) == before
    assert (tmp_path / "cout.txt").read_text().splitlines()[-1] == "100%"
    print("later")
    assert "later" not in (tmp_path / "cout.txt").read_text()
    assert "one" in capsys.readouterr().out


def test_log_handlers_made_before_are_recorded(tmp_path, capsys):
    logger = logging.getLogger("made_up.before")
    handler = logging.StreamHandler()
    logger.addHandler(handler)
    try:
        capture = Capture(tmp_path / "cout.txt", failed=lambda error: None)
        capture.start()
        logger.warning("bad news")
        capture.stop()
        logger.warning("later")
    finally:
        logger.removeHandler(handler)
    assert (tmp_path / "cout.txt").read_text() == "bad news\n"


def test_a_forked_process_writes_to_the_terminal_alone(tmp_path, capfd):
    capture = Capture(tmp_path / "cout.txt", failed=lambda error: None)
    capture.start()
    print("parent", flush=True)
    pid = os.fork()
    if pid == 0:
        print("child", flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    capture.stop()
    assert (tmp_path / "cout.txt").read_text() == "parent\n"
    assert "child" in capfd.readouterr().out


def test_a_bar_without_newlines_does_not_pile_up():
    kept = []
    tee = Tee(io.StringIO(), kept.append)
    for i in range(10_000):
        tee.write(f"{i}% of a bar\r")
    assert len(tee._partial) < 10_000
    tee.write("\n")
    assert kept == ["9999% of a bar\n"]
