"""A run whose training fails: what its user sees."""

import json

SMALL = ["seed=1", "t_max=100000", "save_model_interval=200", "batch_size=4", "buffer_size=16"]


def test_a_run_that_diverges_ends_with_its_last_good_checkpoint(cli, tools, monkeypatch):
    from learners.base import BaseLearner

    real = BaseLearner.discounts

    def discounts(self, batch):
        return real(self, batch) * (float("nan") if self.reward_norm.count > 1000 else 1.0)

    monkeypatch.setattr(BaseLearner, "discounts", discounts)
    outcome = cli("--config=vdn", "--env-config=spread", "with", *tools.TINY, *SMALL)
    assert outcome.status == 2
    assert "Traceback" not in outcome.err
    assert "FAILED after" in outcome.out
    (folder,) = cli.runs()
    assert tools.read(folder, "run")["status"] == "FAILED"
    last = tools.models(folder) / str(tools.steps(folder)[-1])
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    named = ("the team 'agents'", "the loss became nan", "lr=0.0005", "at step 1,")
    for word in (*named, f"checkpoint_path={last.relative_to(cli.folder)}"):
        assert word in line
    assert all("nan" not in part for part in (folder / "metrics.json").read_text().lower().split('"') if "[" in part)
    json.loads((folder / "metrics.json").read_text())
    monkeypatch.setattr(BaseLearner, "discounts", real)
    assert cli.train("vdn", "spread", *SMALL[1:], "t_max=200", f"checkpoint_path={last}")


def test_nothing_saved_is_told_too(cli, tools):
    outcome = cli("--config=asae", "--env-config=spread", "with", *tools.TINY, "lr=1e38", "t_max=10000")
    assert outcome.status == 2
    assert "Traceback" not in outcome.err
    assert "lr=1e+38, critic_lr=0.001" in outcome.err
    assert "lower lr and critic_lr" in outcome.err
    assert "Nothing was saved before." in outcome.err
