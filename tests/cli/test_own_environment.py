"""docs/own_environment.md, followed as it stands: its files written, its commands run."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from envs.adapters.adapting import import_module

PAGE = (Path(__file__).parents[2] / "docs" / "own_environment.md").read_text()
FILES = dict(re.findall(r"`(\w+\.py)`:\n\n```python\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"^    python src/main\.py (.+)$", PAGE, re.MULTILINE)
QUICK = ["test_nepisode=2", "test_interval=100000", "batch_size_run=2", "hidden_dim=8", "quiet=True"]


@pytest.fixture
def walk(cli):
    for name, text in FILES.items():
        (cli.folder / name).write_text(text)
    return cli


def test_the_page_has_what_it_promises():
    assert list(FILES) == ["meeting.py", "meeting_gym.py"]
    assert len(COMMANDS) == 3


@pytest.mark.parametrize("command", COMMANDS, ids=["module", "class", "registration"])
def test_the_commands_train(walk, tools, command):
    words = [word if not word.startswith("t_max=") else "t_max=200" for word in shlex.split(command)]
    outcome = walk(*words, *QUICK)
    assert (outcome.status, outcome.err) == (0, "")
    (run,) = walk.runs()
    metrics = tools.read(run, "metrics")
    for key in ("success_mean", "test_success_mean"):
        assert all(0 <= value <= 1 for value in metrics[key]["values"])
    assert "action_mask_mean" not in metrics
    if "save_replay=True" in command:
        assert list((walk.results / "replays").glob("*.gif"))


def test_its_state_masks_and_length(walk):
    outcome = walk("--env-config=pettingzoo", "--env-info", "with", "env_args.key=meeting", "env_args.state=env")
    info = json.loads(outcome.out)
    assert info["episode_limit"] == 20
    assert info["state_dim"] == 3
    outcome = walk("--env-config=gymma", "--env-info", "with", "env_args.key=meeting_gym:Meeting-v0")
    assert json.loads(outcome.out)["episode_limit"] == 20


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("./meeting", "give env_args.key=meeting."),
        ("meeting.py", "give env_args.key=meeting."),
        (
            "there/meeting.py:Meeting",
            "give env_args.key=meeting:Meeting, from the folder there or with it on PYTHONPATH.",
        ),
        ("meeting.Meeting", "Did you mean meeting:Meeting?"),
        ("meting", "has no meting.py. Did you mean 'meeting'?"),
    ],
)
def test_a_key_that_is_no_module(walk, monkeypatch, key, message):
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(UserError) as error:
        import_module(key.partition(":")[0], key)
    assert message in str(error.value)
