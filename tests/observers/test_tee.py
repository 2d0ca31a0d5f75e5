"""What is recorded of the output."""

import io
import logging
import os
import pty
import signal
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observers import tee
from observers.interrupts import Interrupted, interrupts
from observers.tee import Capture, Outlet, Tee, clean


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


@pytest.fixture(params=["terminal", "pipe"])
def gone(request):
    """A stream whose terminal or reader has gone away."""
    ours, theirs = pty.openpty() if request.param == "terminal" else os.pipe()
    with open(theirs, "w") as stream:
        os.close(ours)
        yield stream


@pytest.fixture
def hang_up():
    """SIGHUP as a shell leaves it (tests may run under nohup)."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def write_to(outlet, text):
    outlet.write(text)
    outlet.flush()


@pytest.mark.parametrize("in_a_thread", [False, True])
def test_a_reader_that_has_gone_is_a_hang_up_once(gone, hang_up, in_a_thread):
    outlet = Outlet(gone)

    def write():
        thread = threading.Thread(target=write_to, args=(outlet, "text\n"))  # as the bar's does
        thread.start()
        thread.join()

    with interrupts():
        with pytest.raises(Interrupted) as caught:
            write() if in_a_thread else write_to(outlet, "text\n")
        assert caught.value.signum == signal.SIGHUP
        write_to(outlet, "more\n")  # goes nowhere
    assert os.readlink(f"/proc/self/fd/{gone.fileno()}") == os.devnull


def test_under_nohup_a_program_goes_on_when_its_terminal_closes(gone, hang_up):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interrupts():
        write_to(Outlet(gone), "text\n")


def test_a_full_disk_behind_the_output_is_not_the_end():
    with open("/dev/full", "w") as full:
        write_to(Outlet(full), "text\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # closing flushes what is left


class Growing(io.RawIOBase):
    """A file whose end is seen once before the rest of its second line has come."""

    def __init__(self):
        self._pieces = [b'{"a": 1}\n{"b"', b"", b": 2}\n", b""]

    def readable(self):
        return True

    def seekable(self):
        return True

    def readinto(self, buffer):
        piece = self._pieces.pop(0)
        buffer[: len(piece)] = piece
        return len(piece)

    def seek(self, *_):
        return 0


def test_a_line_that_comes_while_it_is_read_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tee, "open", lambda *_: io.BufferedReader(Growing()), raising=False)
    assert tee.NewLines(tmp_path / "growing").read() == [b'{"a": 1}\n']


@pytest.mark.parametrize("chunk", [1, 5, 9, 10, 11, 1000])
def test_new_lines_are_read_once_whatever_is_read_at_once(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(tee, "CHUNK", chunk)
    path, lines = tmp_path / "lines", [b'{"a": 1}\n', b"\n", b"a\rb\n", b"long" * 10 + b"\n"]
    path.write_bytes(b"".join(lines) + b"on its way")
    reader, found = tee.NewLines(path), []
    while more := reader.read():
        found += more
    assert found == lines
    path.write_bytes(b"".join(lines) + b"on its way\n")
    assert reader.read() == [b"on its way\n"]
