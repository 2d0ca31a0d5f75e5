"""What a user sees of a replay buffer that memory has made smaller."""

import re

from components import checkpoint

SMALL = ["seed=1", "batch_size=8", "mixing_embed_dim=4", "hypernet_embed=8"]


def test_fewer_episodes_are_told_recorded_and_kept_by_a_resumed_run(cli, tools):
    half = ["--config=qmix", "--env-config=spread", "with", *tools.TINY, *SMALL, "buffer_memory=0.0002"]
    outcome = cli(*half, "t_max=2000", "save_replay_buffer=true", "keep_replay_buffer=true")
    assert (outcome.status, outcome.err) == (0, "")
    said = re.search(
        r"replay +(\d+) of buffer_size=5,000 episodes, \d+ KiB when full; a larger buffer_memory", outcome.out
    )
    (run,) = cli.runs()
    kept = tools.read(run, "info")["buffer_episodes"]
    assert kept == {"agents": int(said[1])}
    assert 8 < kept["agents"] < 80
    assert tools.read(run, "config")["buffer_size"] == 5000
    (newest,) = tools.models(run).iterdir()
    assert checkpoint.read(newest, "state.pt")["buffers"] == kept
    assert tools.read(cli.resume(run, "t_max=2400"), "info")["buffer_episodes"] == kept
    other = cli("with", f"resume={run}", "t_max=2800", "buffer_memory=1")
    assert other.status == 2
    assert "buffer_memory=0.0002" in other.err


def test_a_number_that_was_given_and_does_not_fit_is_one_message(cli):
    outcome = cli("--config=qmix", "--env-config=spread", "with", "buffer_size=5000", "buffer_memory=0.001")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert "more than the 1 MiB that buffer_memory=0.001 (GiB) allows: lower buffer_size" in outcome.err
    assert not cli.runs()
