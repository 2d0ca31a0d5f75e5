"""A copy in the background: it cannot hold up, slow or end a run, and trouble is told once."""

import threading

import pytest

from mirrors.follower import CopyFailed, Follower, Pace

OFTEN = Pace(every=0.001, last=60.0)


class Copy:
    """Counts what it is asked for; fails or waits as the test says."""

    def __init__(self, fails=(), waits=None):
        self.synced, self.closed, self._fails, self._waits = 0, False, fails, waits
        self.often = threading.Event()

    def __call__(self, folder):
        return self

    def sync(self):
        self.synced += 1
        if self.synced > 3:
            self.often.set()
        if self._waits:
            self._waits.wait()
        if self._fails == "always" or self.synced in self._fails:
            raise CopyFailed(f"no room {self.synced}")

    def close(self):
        self.closed = True


def follow(tmp_path, copy, pace=OFTEN):
    return Follower(copy, tmp_path, what="MongoDB at here", mend="This mends it: mend", pace=pace)


def test_the_copy_is_renewed_until_the_end(tmp_path, capsys):
    copy = Copy()
    follower = follow(tmp_path, copy)
    assert copy.often.wait(60)
    follower.close()
    assert copy.closed
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("fails", ["always", (1, 3, 4)])
def test_trouble_is_told_once(tmp_path, capsys, fails):
    copy = Copy(fails=fails)
    follower = follow(tmp_path, copy)
    assert copy.often.wait(60)
    follower.close()
    said = capsys.readouterr().err
    assert said.startswith("warning: MongoDB at here: no room 1; the run goes on")
    assert said.endswith("This mends it: mend.\n")
    assert said.count("\n") == 1
    assert copy.closed == (fails != "always")


def test_a_copy_that_hangs_holds_nobody_up_and_is_told_at_the_end(tmp_path, capsys):
    released = threading.Event()
    copy = Copy(waits=released)
    follower = follow(tmp_path, copy, Pace(every=0.001, last=0.001))
    follower.close()
    released.set()
    assert "not complete at the end of the run. This mends it: mend." in capsys.readouterr().err
