"""install_sc2.sh from end to end against a local file server, with stand-in archives. Nothing is installed by pip."""

import hashlib
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from installation import install

ROOT = Path(__file__).parents[2]
PASSWORD = "iagreetotheeula"
TOOLS = ("bash", "curl", "git", "sha256sum", "unzip", "zip")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"these programs are not installed: {', '.join(MISSING)}")


class Handler(http.server.BaseHTTPRequestHandler):
    """Files with ranges; ``cut`` bytes after which the next answers break off; ``refuse`` ignores ranges."""

    def do_GET(self):
        shop = self.server.shop
        shop.requests.append((self.path.lstrip("/"), self.headers.get("Range")))
        body = shop.files.get(self.path.lstrip("/"))
        if body is None:
            self.send_error(404)
            return
        start = 0 if shop.no_ranges else int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        if start and start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        rest = body[start:]
        if shop.cuts:
            rest = rest[: shop.cuts.pop(0)]
        self.wfile.write(rest)

    def log_message(self, *_words):
        pass


class Shop:
    """A file server on this machine."""

    def __init__(self, files):
        self.files, self.requests, self.cuts, self.no_ranges = dict(files), [], [], False
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.shop = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def pack(folder, *words):
    """Bytes of a zip archive of a folder's content."""
    path = folder.parent / f"{folder.name}.zip"
    subprocess.run(["zip", "-q", "-r", *words, str(path), "."], cwd=folder, check=True)
    return path.read_bytes()


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """Name -> bytes: the game in two versions, locked with Blizzard's password, and the maps."""
    files = {}
    for version, build in (("4.10", 75689), ("4.6.2.69232", 69232)):
        folder = tmp_path_factory.mktemp("game")
        game = install(folder / "StarCraftII", build=build)
        (game / "Libs").mkdir()
        (game / "Libs" / "ballast").write_bytes(os.urandom(300_000))
        (game / "Maps" / "SMAC_Maps" / "32x32_flat.SC2Map").unlink()  # SMACv2's, which is not in SMAC's archive
        shutil.move(game / "Maps", folder.parent / f"maps{build}")
        files[f"SC2.{version}.zip"] = pack(folder, "-P", PASSWORD)
    files["SMAC_Maps.zip"] = pack(folder.parent / "maps69232")
    return files


@pytest.fixture
def shop(archives):
    shop = Shop(archives)
    yield shop
    shop.close()


@pytest.fixture
def installer(shop, tmp_path):
    """Runs the script; its interpreter notes what it is asked to do, and does nothing where ``pretend``.

    ``pip`` is pip's exit status, ``old`` whether s2clientprotocol is installed.
    """
    notes = tmp_path / "notes"
    python = tmp_path / "python"

    def run(*words, answer=PASSWORD, pretend=True, version="4.10", pip=0, old=False, **variables):
        file = {"4.10": "SC2.4.10.zip", "4.6.2": "SC2.4.6.2.69232.zip"}[version]
        # pip's -r is a pipe: its content is noted
        python.write_text(
            "#!/usr/bin/env bash\n"
            f'echo "$*" >> {notes}\n'
            f'case "$2 $3" in "pip show") exit {int(not old)} ;; "pip uninstall") exit 0 ;; esac\n'
            f'if [[ $2 == pip ]]; then cat "${{@: -1}}" >> {notes}; exit {pip}; fi\n'
            + (f'echo "SC2PATH=$SC2PATH" >> {notes}\n' if pretend else f'exec {sys.executable} "$@"\n')
        )
        python.chmod(0o755)
        environment = {
            "SC2_URL": f"{shop.url}/{file}",
            "SMAC_MAPS_URL": f"{shop.url}/SMAC_Maps.zip",
            "SC2_PYTHON": str(python),
            "SC2_RETRY_SECONDS": "0",
            **variables,
        }
        words = [str(word) for word in words]
        if "--into" not in words:
            words += ["--into", str(tmp_path / "StarCraftII")]
        done = subprocess.run(
            [ROOT / "install_sc2.sh", *words, "--version", version],
            input=answer, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        done.notes = notes.read_text() if notes.exists() else ""
        return done

    return run


def assert_installed(folder, build=75689):
    binary = folder / "Versions" / f"Base{build}" / "SC2_x64"
    assert os.access(binary, os.X_OK)
    assert "stand-in" in binary.read_text()
    assert (folder / "Libs" / "ballast").stat().st_size == 300_000
    assert len(list((folder / "Maps" / "SMAC_Maps").glob("*.SC2Map"))) == 23
    assert not (folder / ".install").exists(), "downloads are gone"


def test_the_whole_way_with_an_interrupted_download(installer, shop, archives, tmp_path, monkeypatch):
    """Consent by hand, a download that breaks off twice, packages, and the real self-test (on a scripted SMAC)."""
    shop.cuts = [100_000, 50_000]
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "scripted"))
    monkeypatch.setenv("SCRIPTED_LOG", str(tmp_path / "log"))
    done = installer(pretend=False)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "StarCraftII"
    assert_installed(folder)
    assert shop.requests == [
        ("SC2.4.10.zip", None),
        ("SC2.4.10.zip", "bytes=100000-"),
        ("SC2.4.10.zip", "bytes=150000-"),
        ("SMAC_Maps.zip", None),
    ]
    for name in ("SC2.4.10.zip", "SMAC_Maps.zip"):
        assert f"SHA-256 of {name}: {hashlib.sha256(archives[name]).hexdigest()}" in done.stdout
    assert "AI_AND_MACHINE_LEARNING_LICENSE" in done.stdout
    assert done.stdout.index("LICENSE") < done.stdout.index("Downloading")
    requirements = (ROOT / "requirements-sc2.txt").read_text().splitlines()
    assert f"-m pip install --quiet --disable-pip-version-check --no-deps {requirements[4]} -r" in done.notes
    assert requirements[4].startswith("smac @ git+https://github.com/oxwhirl/smac.git@d6aab33f")
    assert requirements[5:] == [line for line in done.notes.splitlines() if re.match(r"[a-z0-9-]+[=>]", line)]
    played = [line for line in (tmp_path / "log").read_text().splitlines() if line == '["reset"]']
    assert len(played) == 1, "one episode"
    assert f"export SC2PATH={folder}" in done.stdout
    assert "StarCraft II 4.10 is ready" in done.stdout


def test_a_second_time_changes_nothing_and_downloads_nothing(installer, shop, tmp_path):
    assert installer("--yes", answer="").returncode == 0
    folder = tmp_path / "StarCraftII"
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    shop.requests.clear()
    done = installer(answer="")
    assert done.returncode == 0
    assert "Type" not in done.stdout, "consent was given"
    assert shop.requests == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == files
    assert done.notes.count(f"SC2PATH={folder}") == 2, "packages and self-test run again"
    assert done.notes.count("env_args.map_name=3m") == 2


@pytest.mark.parametrize("answer", ["no\n", "", "yes\n"])
def test_without_consent_nothing_happens(installer, shop, tmp_path, answer):
    done = installer(answer=answer)
    assert done.returncode == 2
    assert "not accepted; nothing was installed" in done.stderr
    assert shop.requests == []
    assert done.notes == ""
    assert not (tmp_path / "StarCraftII").exists()


def test_the_other_version(installer, tmp_path):
    done = installer("--yes", version="4.6.2")
    assert done.returncode == 0, done.stderr
    assert_installed(tmp_path / "StarCraftII", build=69232)
    done = installer("--yes")
    assert done.returncode == 2
    assert "holds another version (Base69232)" in done.stderr


def test_an_archive_of_another_version(installer, shop, archives):
    shop.files["SC2.4.6.2.69232.zip"] = archives["SC2.4.10.zip"]
    done = installer("--yes", version="4.6.2")
    assert done.returncode == 2
    assert "holds no StarCraftII/Versions/Base69232/SC2_x64" in done.stderr
    shop.files["SC2.4.6.2.69232.zip"] = archives["SC2.4.6.2.69232.zip"]
    assert installer("--yes", version="4.6.2").returncode == 0, "the wrong one was removed"


@pytest.mark.parametrize("name", ["SC2.4.10.zip", "SMAC_Maps.zip"])
@pytest.mark.parametrize("how", ["truncated", "altered", "no archive"])
def test_a_damaged_archive_is_removed_and_the_next_run_mends_it(installer, shop, archives, tmp_path, name, how):
    sound = archives[name]
    middle = len(sound) // 2
    shop.files[name] = {
        "truncated": sound[:middle],
        "altered": sound[:middle] + bytes(255 - byte for byte in sound[middle : middle + 64]) + sound[middle + 64 :],
        "no archive": b"<html>Please log in</html>",
    }[how]
    done = installer("--yes")
    assert done.returncode == 2
    assert f"{name} is damaged; it was removed" in done.stderr
    assert done.notes == ""
    shop.files[name] = sound
    assert installer("--yes").returncode == 0
    assert_installed(tmp_path / "StarCraftII")


def test_checksums_that_are_wanted(installer, archives, tmp_path):
    done = installer("--yes", SC2_SHA256="0" * 64)
    assert done.returncode == 2
    assert f"not what was expected (SHA-256 {'0' * 64})" in done.stderr
    assert not list(tmp_path.rglob("*.zip"))
    right = {
        "SC2_SHA256": hashlib.sha256(archives["SC2.4.10.zip"]).hexdigest(),
        "SMAC_MAPS_SHA256": hashlib.sha256(archives["SMAC_Maps.zip"]).hexdigest(),
    }
    assert installer("--yes", **right).returncode == 0


def test_a_run_that_was_stopped_goes_on(installer, shop, archives, tmp_path):
    """Stopped after the last byte, and (the maps) with rubbish longer than the file."""
    work = tmp_path / "StarCraftII" / ".install"
    work.mkdir(parents=True)
    (work / "SC2.4.10.zip.part").write_bytes(archives["SC2.4.10.zip"])
    (work / "SMAC_Maps.zip.part").write_bytes(b"x" * (len(archives["SMAC_Maps.zip"]) + 5))
    (work / "game").mkdir()
    (work / "game" / "half").touch()
    assert installer("--yes").returncode == 0
    assert_installed(tmp_path / "StarCraftII")
    assert len([name for name, wanted in shop.requests if name == "SC2.4.10.zip"]) == 1
    assert not (tmp_path / "StarCraftII" / "half").exists()


def test_a_server_that_cannot_resume(installer, shop, tmp_path):
    shop.no_ranges, shop.cuts = True, [100_000]
    assert installer("--yes").returncode == 0
    assert_installed(tmp_path / "StarCraftII")


def test_a_server_that_breaks_off_for_ever(installer, shop, tmp_path):
    shop.cuts = [10_000] * 5
    done = installer("--yes")
    assert done.returncode == 2
    assert "run this again, it goes on where it stopped" in done.stderr
    assert (tmp_path / "StarCraftII" / ".install" / "SC2.4.10.zip.part").stat().st_size == 50_000
    assert installer("--yes").returncode == 0
    assert shop.requests[5] == ("SC2.4.10.zip", "bytes=50000-")


def test_an_address_without_a_file(installer, shop):
    done = installer("--yes", SC2_URL=f"{shop.url}/nothing.zip")
    assert done.returncode == 2
    assert f"{shop.url}/nothing.zip: HTTP 404" in done.stderr
    assert "SC2_URL" in done.stderr


def test_maps_that_are_missing_in_their_archive(installer, shop, tmp_path):
    folder = tmp_path / "few" / "SMAC_Maps"
    folder.mkdir(parents=True)
    (folder / "3m.SC2Map").write_text("map")
    shop.files["SMAC_Maps.zip"] = pack(folder.parent)
    done = installer("--yes")
    assert done.returncode == 2
    assert "the archive of maps lacks: 8m 25m" in done.stderr
    assert " 3m " not in done.stderr


def test_packages_that_cannot_be_installed_or_do_not_work(installer, tmp_path, monkeypatch):
    done = installer("--yes", pip=1)
    assert done.returncode == 2
    assert "pip could not install requirements-sc2.txt" in done.stderr
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "smac").mkdir()
    (tmp_path / "smac" / "__init__.py").touch()
    done = installer("--yes", pretend=False)
    assert done.returncode == 2
    assert "PyPI's smac is SMAC3" in done.stderr
    assert "error: the self-test failed" in done.stderr


def test_the_older_form_of_the_messages_is_uninstalled_first(installer):
    notes = installer("--yes", old=True).notes
    gone = "-m pip uninstall --quiet --yes s2clientprotocol pys2clientprotocol\n"
    assert notes.index(gone) < notes.index("-m pip install")
    assert "uninstall" not in installer("--yes").notes.replace(notes, "")


def test_another_source_of_smac(installer):
    done = installer("--yes", SMAC_PACKAGE="smac @ https://mirror.example/a&b|c.zip")
    assert "--no-deps smac @ https://mirror.example/a&b|c.zip -r" in done.notes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--what"], "unknown option --what"),
        (["--into"], "--into needs a value"),
        (["--version", "5.0"], "--version 5.0 is not known: 4.10 or 4.6.2"),
    ],
)
def test_wrong_words(words, message):
    done = subprocess.run([ROOT / "install_sc2.sh", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")


def test_no_interpreter(installer, shop, tmp_path):
    done = installer("--yes", SC2_PYTHON=str(tmp_path / "absent"))
    assert done.returncode == 2
    assert f"there is no {tmp_path / 'absent'}" in done.stderr
    assert shop.requests == []


def test_help():
    done = subprocess.run([ROOT / "install_sc2.sh", "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    variables = set(re.findall(r"\$\{?((?:SC2|SMAC)_[A-Z0-9_]+)", (ROOT / "install_sc2.sh").read_text()))
    hidden = {"SC2_RETRY_SECONDS"}
    assert [word for word in variables - hidden if word not in done.stdout] == []
    for word in ("--version", "4.6.2", "--into", "--yes", "SC2PATH"):
        assert word in done.stdout
