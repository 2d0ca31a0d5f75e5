"""Folders of runs as main.py leaves them, made in no time."""

import json

METRIC = "test_return_mean"
BEGAN = "2026-11-01T10:00:00"
ENDED = "2026-11-01T10:01:40"  # 100 seconds later


def write_run(
    results, name, task, seed, values, *, metrics=None, status="COMPLETED", info=None, entry=None, **settings
):
    """One run of battle with tests every 10 steps; returns its folder."""
    folder = results / "sacred" / name / f"battle-{task}" / str(seed)
    folder.mkdir(parents=True)
    env_args = {"map_name": task}
    steps = [10 * k for k in range(len(values))]
    config = {"name": name, "env": "battle", "seed": seed, "t_max": steps[-1], "label": "", "env_args": env_args}
    columns = {METRIC: values} | (metrics or {})
    columns = {key: {"steps": steps, "values": column, "timestamps": []} for key, column in columns.items()}
    entry = {"status": status, "start_time": BEGAN, "stop_time": ENDED, "heartbeat": ENDED} | (entry or {})
    contents = {"config": config | settings, "metrics": columns, "run": entry, "info": info or {}}
    for what, content in contents.items():
        folder.joinpath(f"{what}.json").write_text(json.dumps(content))
    return folder


def write_grid(results, seeds=3):
    """Two tasks, three algorithms: asae is best, qmix next, coma last."""
    for place, name in enumerate(("asae", "qmix", "coma")):
        for task, scale in (("3m", 1.0), ("8m", 20.0)):
            for seed in range(1, seeds + 1):
                values = [scale * k * (3 - place) / 10 + scale * seed / 1000 for k in range(11)]
                write_run(results, name, task, seed, values)
