"""Runners: how episodes are gathered."""

REGISTRY: dict[str, str] = {
    "parallel": "runners.parallel_runner:ParallelRunner",
    "episode": "runners.parallel_runner:EpisodeRunner",
}
