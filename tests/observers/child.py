"""A small real Sacred run, forked once per request, for tests that kill it.

Reads lines "<folder> <points> [<terminal> [controls]]" from stdin; for each one forks a run there that writes so many
points, one progress line "<pid> <points so far>" on stdout after each (points 0: it has started). With a terminal the
run shows its bar there; "controls" makes it the terminal that sends SIGHUP when it closes.
"""

import ctypes
import fcntl
import os
import signal
import sys
import termios
import time
import warnings

warnings.simplefilter("ignore")
import logging  # noqa: E402

import sacred  # noqa: E402
from sacred import SETTINGS  # noqa: E402

from observers.console import Console  # noqa: E402
from observers.interrupts import Interrupted, interrupts  # noqa: E402
from observers.sacred_files import AtomicFileObserver  # noqa: E402
from observers.sink import Sink  # noqa: E402

SETTINGS.CAPTURE_MODE = "no"
SETTINGS.DEFAULT_BEAT_INTERVAL = 0.002  # files are rewritten all the time, so that kills hit the writes
SETTINGS.CONFIG.READ_ONLY_CONFIG = False


def run(folder: str, points: int) -> None:
    ex = sacred.Experiment("killed", save_git_info=False)
    ex.observers.append(AtomicFileObserver(folder))
    ex.add_config(name="asae", seed=1, env="made_up", env_args={"key": "up"})

    @ex.main
    def main(_run):
        console = Console(t_max=10 * points)  # with a bar where stdout is a terminal
        sink = Sink(run=_run, console=console, log_interval=1)
        console.header("asae on made_up", {"points": points})
        os.write(1, f"{os.getpid()} 0\n".encode())
        try:
            for i in range(1, points + 1):
                sink.write({"loss": 1.0 / i, "test_return_mean": float(i), "nothing": float("nan")}, i * 10)
                print(f"line {i}")
                if sys.stdout.isatty():
                    sink.progress(i * 10)
                os.write(1, f"{os.getpid()} {i}\n".encode())
            while points:  # ends by a signal alone
                time.sleep(10)
        finally:
            sink.close(status="INTERRUPTED" if points else "COMPLETED")
        return 3.5

    with interrupts():
        ex.run()


def open_terminal(path: str, controls: bool):
    os.setsid()
    fd = os.open(path, os.O_RDWR | (0 if controls else os.O_NOCTTY))
    if controls:
        fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
    return open(fd, "w")


def die_with_parent() -> None:
    """Leave nothing behind when the tests themselves are killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    die_with_parent()
    shown = open(os.devnull, "w")  # noqa: SIM115
    for request in iter(sys.stdin.readline, ""):
        if os.fork() == 0:
            die_with_parent()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup, and inherited
            folder, points, *terminal = request.split()
            sys.stdout = sys.stderr = open_terminal(terminal[0], "controls" in terminal) if terminal else shown
            logging.disable(logging.CRITICAL)
            status = 0
            try:
                run(folder, int(points))
            except Interrupted as error:
                status = error.exit_status
            os._exit(status)
        _, status = os.wait()
        os.write(1, f"exit {os.waitstatus_to_exitcode(status)}\n".encode())
