"""REGISTRY of runners: where the episodes of a run come from.

`offline` hands over recorded episodes where the live ones, `episode` and `parallel`, would roll
out; all of them evaluate in a live environment.
"""

from utils.registry import Registry

REGISTRY = Registry(
    {
        "offline": "runners.offline_runner:OfflineRunner",
        "episode": "runners.live_runner:EpisodeRunner",
        "parallel": "runners.live_runner:ParallelRunner",
    }
)
