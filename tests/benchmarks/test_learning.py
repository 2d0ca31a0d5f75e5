"""Which runs the learning curves are made of; nothing is run."""

import argparse
import sys
from pathlib import Path

import pytest

from core.errors import UserError

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import learning


def runs(group, *tasks):
    args = argparse.Namespace(seeds=2, lines=["synchronous", "m = 1"], algorithms=["asae", "qmix"], tasks=tasks)
    return list(learning.made(group, args))


def test_the_ablation_on_one_of_its_environments():
    every = runs("ablation")
    assert {run.env for run in every} == {"spread", "spread_paper"}
    assert len(every) == 8
    for name in ("spread", "spread_paper"):
        assert runs("ablation", name) == [run for run in every if run.env == name]
    assert sorted(map(hash, runs("ablation", "spread", "spread_paper"))) == sorted(map(hash, every))


def test_a_group_on_some_of_its_tasks():
    every = runs("matrix")
    chosen = runs("matrix", "climbing", "qtran")
    assert chosen == [run for run in every if run.words[1] in ("env_args.game=climbing", "env_args.game=qtran")]
    assert len(chosen) == 8


@pytest.mark.parametrize(
    ("groups", "task", "told"),
    [
        (["ablation"], "spread_papr", "Did you mean 'spread_paper'"),
        (["battle"], "MMM2", "no such task in battle.*Known: 3m, 8m, 2s3z"),
        (["chase"], "spread", "none to choose from"),
        (["matrix"], "50000", "no such task"),
    ],
)
def test_a_task_that_no_group_has_is_refused(groups, task, told):
    with pytest.raises(UserError, match=told):
        learning.check_tasks(groups, [task])
    learning.check_tasks([*groups, "ablation"], ["spread"])
    learning.check_tasks(groups, [])
