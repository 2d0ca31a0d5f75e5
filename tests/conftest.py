import os
import shutil
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in runs (torch_threads: 1): tests are run side by side
sys.path.append(str(Path(__file__).parent))  # toy_vec_envs; appended, so that it hides nothing of src


@pytest.fixture
def toy_env(tmp_path, monkeypatch):
    """Let --env-config=toy mean toy_vec_envs.ToyVecEnv, and its teams be played by the script "hinted"."""
    import core.settings
    import envs
    from envs import scripted
    from training import options

    folder = tmp_path / "config"
    shutil.copytree(core.settings.CONFIG_DIR, folder)
    (folder / "envs" / "toy.yaml").write_text("env: toy\n")
    for module in (core.settings, options):
        monkeypatch.setattr(module, "CONFIG_DIR", folder, raising=False)
    monkeypatch.setitem(envs.REGISTRY, "toy", "toy_vec_envs:ToyVecEnv")
    monkeypatch.setitem(scripted.SCRIPTED, "hinted", "toy_vec_envs:Hinted")


@pytest.fixture(scope="session")
def mongod(tmp_path_factory):
    """A running MongoDB server."""
    from mongod import Mongod

    server = Mongod(tmp_path_factory.mktemp("mongod"))
    yield server.start()
    server.kill()


@pytest.fixture
def own_mongod(tmp_path):
    """One that the test may kill, stop and start."""
    from mongod import Mongod

    server = Mongod(tmp_path / "mongod")
    yield server.start()
    server.kill()
