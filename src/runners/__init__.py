"""Runners: how episodes are gathered."""

REGISTRY: dict[str, str] = {
    "parallel": "runners.parallel_runner:ParallelRunner",
    "ray": "runners.ray_runner:RayRunner",
    "episode": "runners.parallel_runner:EpisodeRunner",
}
