"""The real Omniboard on a real MongoDB server, with passwords, in headless Chromium: make omniboard-smoke.

Asserts that a run of ours, its metrics and its settings appear, and keeps a picture of it.
"""

import argparse
import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import websocket

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import sync_mongo  # noqa: E402
from mongod import Mongod, free_port  # noqa: E402

VERSION = "2.16.1"
PASSWORD = "made-up"
RUN = ("--config=asae", "--env-config=matrix_game", "with", "seed=1", "t_max=20000", "test_interval=1000",
       "runner_log_interval=500", "learner_log_interval=500")  # fmt: skip
SECONDS = 120  # for anything to appear


def browser():
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, "no Chromium: apt install chromium"
    return found


class Page:
    """A page in headless Chromium, by its DevTools protocol."""

    def __init__(self, folder, closing):
        port = free_port()
        words = [browser(), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}",
                 f"--remote-debugging-port={port}", "--remote-allow-origins=*", "--window-size=1400,900",
                 "about:blank"]  # fmt: skip
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        closing.callback(self._process.wait)
        closing.callback(self._process.kill)
        (page,) = [one for one in answer(f"http://127.0.0.1:{port}/json") if one["type"] == "page"]
        self._socket = websocket.create_connection(page["webSocketDebuggerUrl"], timeout=SECONDS)
        self._number = 0
        self.errors = []
        for domain in ("Page", "Runtime", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **parameters):
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv())
            if said.get("method") == "Runtime.exceptionThrown":
                self.errors.append(said["params"]["exceptionDetails"])
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]

    def evaluate(self, expression):
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, what, expression):
        """Until a JavaScript expression is true."""
        return until(lambda: self.evaluate(expression), f"{what}; the page: {self.text()[:2000]}")

    def text(self):
        return self.evaluate("document.body ? document.body.innerText : ''") or ""

    def click(self, what, expression):
        """Click the element that an expression finds, as soon as it is there."""
        self.wait(what, f"(() => {{ const it = {expression}; if (it) it.click(); return !!it; }})()")

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))


def until(ask, what):
    end = time.monotonic() + SECONDS
    while not (found := ask()):
        assert time.monotonic() < end, f"did not appear: {what}"
        time.sleep(0.2)
    return found


def status(url):
    """Of a server that is just starting."""

    def ask():
        try:
            with urllib.request.urlopen(url) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    return until(ask, url)


def answer(url):
    """What a server that is just starting answers, as JSON where it is."""

    def ask():
        try:
            with urllib.request.urlopen(url) as reply:
                return json.loads(reply.read())
        except OSError:
            return None

    return until(ask, url)


def installed(folder):
    """Omniboard from npm, once (a minute, 530 MB)."""
    start = folder / "node_modules" / "omniboard" / "dist" / "start.js"
    if not start.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}\n')
        words = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", f"omniboard@{VERSION}"]
        subprocess.run(words, cwd=folder, check=True)
    return start


def train(folder):
    """A run; its folder."""
    words = [sys.executable, str(ROOT / "src" / "main.py"), *RUN, f"local_results_path={folder}"]
    subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    (file,) = Path(folder).glob("sacred/*/*/*/metrics.jsonl")
    return file.parent


def on_file(folder):
    """Name of a metric -> (steps, values)."""
    points = {}
    for point in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        steps, values = points.setdefault(point["name"], ([], []))
        steps.append(point["step"])
        values.append(point["value"])
    return points


def serve(folder):
    """A server that asks for a password; and its address."""
    server = Mongod(folder / "mongod").start()
    with server.client() as client:
        concern = {"w": 1, "j": True}
        client.admin.command("createUser", "sacred", pwd=PASSWORD, roles=["root"], writeConcern=concern)
    server.kill()
    os.environ["MONGO_PASSWORD"] = PASSWORD
    return server.start(auth=True), f"mongodb://sacred@127.0.0.1:{server.port}"


def board(start, server, closing):
    """Omniboard, called as in docker-compose.yml; its address."""
    url = f"mongodb://sacred:{PASSWORD}@127.0.0.1:{server.port}/sacred?authSource=admin"
    port = free_port()
    words = ["node", str(start), "--mu", url, "-u", f"sacred:{PASSWORD}:{PASSWORD}-session"]
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(words, env=os.environ | {"PORT": str(port)}, stdout=nothing, stderr=nothing)
    closing.callback(process.wait)
    closing.callback(process.kill)
    return f"http://127.0.0.1:{port}/sacred"


def look(page, address, folder, picture):
    """Log in, open the run, and see its metrics, its output and its settings."""
    assert status(address) == 401, "it wants no password"
    login = base64.b64encode(f"sacred:{PASSWORD}".encode()).decode()
    page.ask("Network.setExtraHTTPHeaders", headers={"Authorization": f"Basic {login}"})
    page.ask("Page.navigate", url=address)
    page.wait("the run", "document.body.innerText.includes('COMPLETED')")
    page.click("the run's arrow", """document.querySelector('[test-attr="cell-row_expander-0"]')""")
    drawn = "document.querySelector('.js-plotly-plot')?.data"
    page.wait("its curves", f"({drawn} ?? []).length > 0")
    shown = page.evaluate(f"{drawn}.map(one => [one.name, Array.from(one.x), Array.from(one.y)])")
    shown = {name.rpartition(".")[2]: (x, y) for name, x, y in shown}
    written = on_file(folder)
    assert {name: shown.get(name) for name in written} == written  # (it draws an empty "unsmoothed" as well)
    picture.parent.mkdir(parents=True, exist_ok=True)
    page.picture(picture)
    for tab, words in (
        ("Captured Out", "asae on matrix_game"),
        ("Config", "n_samples"),
        ("Source Files", "session.py"),
    ):
        page.click(tab, f"[...document.querySelectorAll('a')].find(one => one.innerText.trim() === '{tab}')")
        page.wait(f"'{words}' under {tab}", f"document.body.innerText.includes('{words}')")
    assert page.errors == []
    return len(written)


def main():
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--omniboard", type=Path, default=ROOT / "results" / "omniboard", help="where it is installed")
    cli.add_argument("--picture", type=Path, default=ROOT / "results" / "omniboard.png")
    given = cli.parse_args()
    start = installed(given.omniboard.resolve())
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as closing:
        run = train(name)
        server, url = serve(Path(name))
        closing.callback(server.kill)
        assert sync_mongo.main([name, "--url", url]) == 0
        address = board(start, server, closing)
        page = Page(Path(name) / "chromium", closing)
        metrics = look(page, address, run, given.picture)
    print(f"Omniboard {VERSION} shows the run, its {metrics} metrics point by point, output, settings and sources.")
    print(f"The picture: {given.picture}")


if __name__ == "__main__":
    main()
