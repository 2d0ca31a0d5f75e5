"""Faults within a run's process; Python imports this first where the folder is on PYTHONPATH.

TORTURE_BEAT=0.1          heartbeats so often (seconds), so that kills hit the writing of run.json and metrics.json
TORTURE_CLOCK=seed,log    the clock jumps, twelve hours forth or back at most, at random readings; jumps go to the log
TORTURE_SLOW=folder       every call of the file system below that folder takes long
TORTURE_MEET=file,number  waits before a run's folder is made until as many processes are there
"""

import datetime
import os
import random
import re
import time

HOURS = 12.0
READINGS = 60  # of the clock between two jumps, at most
SECONDS = {"open": 0.005, "write": 0.01, "fsync": 0.1, "replace": 0.02, "rename": 0.02, "mkdir": 0.02}
PATIENCE = 60.0  # seconds, for processes that meet
_real = {name: getattr(os, name) for name in SECONDS}


class _Clock:
    """Time of day with jumps; what is written gets its times, as with a real clock."""

    def __init__(self, seed, log):
        self._draw, self._log = random.Random(f"{seed}:{os.getpid()}"), log
        self._shift, self._left, self._seconds = 0.0, 1, time.time

    def now(self):
        self._left -= 1
        if not self._left:
            self._left = self._draw.randint(2, READINGS)
            self._shift = self._draw.uniform(-HOURS, HOURS) * 3600
            with open(self._log, "a") as file:
                file.write(f"{self._shift:.0f}\n")
        return self._seconds() + self._shift

    def stamp(self, file):
        when = int((self._seconds() + self._shift) * 1e9)
        os.utime(file, ns=(when, when))

    def install(self):
        clock, real, local, plain = self, datetime.datetime, time.localtime, time.strftime

        class Moved(real):
            @classmethod
            def now(cls, tz=None):
                return cls.fromtimestamp(clock.now(), tz)

            @classmethod
            def utcnow(cls):
                return cls.fromtimestamp(clock.now(), datetime.UTC).replace(tzinfo=None)

        def write(fd, data):
            count = _real["write"](fd, data)
            if re.match(r"/.*\.(jsonl|tmp|txt)$", _path(fd)):
                clock.stamp(fd)
            return count

        datetime.datetime = Moved
        time.time, time.time_ns = self.now, lambda: int(self.now() * 1e9)
        time.localtime = lambda seconds=None: local(self.now() if seconds is None else seconds)
        time.strftime = lambda words, at=None: plain(words, time.localtime() if at is None else at)
        os.write = write


def _path(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def _slow(folder):
    def slowed(name):
        def call(what, *more, **named):
            path = _path(what) if isinstance(what, int) else os.fspath(what)
            if str(path).startswith(folder):
                time.sleep(SECONDS[name])
            return _real[name](what, *more, **named)

        return call

    for name in SECONDS:
        setattr(os, name, slowed(name))


def _meet(file, number):
    def mkdir(path, *more, **named):
        if re.search(r"/sacred/[^/]+/[^/]+/\d+$", os.fspath(path)):
            with open(file, "a") as here:
                here.write("x")
            end = time.monotonic() + PATIENCE
            while os.stat(file).st_size < number and time.monotonic() < end:
                pass  # together to the microsecond
        return _real["mkdir"](path, *more, **named)

    os.mkdir = mkdir


if "TORTURE_BEAT" in os.environ:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sacred import SETTINGS
    SETTINGS.DEFAULT_BEAT_INTERVAL = float(os.environ["TORTURE_BEAT"])
if "TORTURE_CLOCK" in os.environ:
    _Clock(*os.environ["TORTURE_CLOCK"].split(",", 1)).install()
if "TORTURE_SLOW" in os.environ:
    _slow(os.environ["TORTURE_SLOW"])
if "TORTURE_MEET" in os.environ:
    _file, _number = os.environ["TORTURE_MEET"].rsplit(",", 1)
    _meet(_file, int(_number))
