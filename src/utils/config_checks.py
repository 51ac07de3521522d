"""What no key of a configuration can say of itself: which of them go together."""

from __future__ import annotations

from learners.configs import ContinuousConfig, ICQVAEConfig
from utils.config import RunConfig, Settings, scenario
from utils.errors import ConfigError

CONTINUOUS_MAC = "gaussian_mac"


def check_together(settings: Settings) -> None:
    """ConfigError for the first pair of keys that does not fit."""
    run, learner = settings.run, settings.learner
    if not run.learner and not run.evaluate:
        raise ConfigError(f"{run.name} has nothing to learn; use evaluate=True")
    if run.learner and run.evaluate and not run.checkpoint_path:
        raise ConfigError("evaluate=True needs checkpoint_path=results/models/<run>")
    if run.evaluate and run.test_nepisode == 0:
        raise ConfigError("evaluate=True needs test_nepisode of 1 or more")
    if run.learner and run.mac == "scripted_mac":
        raise ConfigError("mac=scripted_mac has nothing to learn; use --config=script")
    if (run.mac == "bcq_mac") != (run.learner == "bcq_learner"):
        raise ConfigError(
            f"mac={run.mac} and learner={run.learner} do not fit: bcq_mac acts with the networks "
            "of bcq_learner; use --config=bcq"
        )
    if run.runner != "offline" and run.buffer_size < run.batch_size:
        raise ConfigError(
            f"buffer_size={run.buffer_size} is smaller than batch_size={run.batch_size}"
        )
    if isinstance(learner, ICQVAEConfig) and learner.behaviour_steps >= run.t_max:
        raise ConfigError(
            f"behaviour_steps={learner.behaviour_steps} leaves nothing of t_max={run.t_max} for "
            "the policy"
        )
    if run.env_args.get("heuristic_ai") and run.learner:
        raise ConfigError(
            "env_args.heuristic_ai=True: SMAC's script plays, so what the agents choose is not "
            "what is played; use --config=script"
        )
    _check_continuous(run, isinstance(learner, ContinuousConfig))


def check_actions(settings: Settings, continuous_env: bool) -> None:
    """A learner is made for one kind of action; what learns nothing plays discrete ones."""
    run, continuous = settings.run, isinstance(settings.learner, ContinuousConfig)
    if continuous == continuous_env:
        return
    game = " ".join(filter(None, [run.env, scenario(run.env_args)]))
    ours, theirs, fit = "continuous", "discrete", "icq or bc"
    if continuous_env:
        ours, theirs, fit = theirs, ours, "icq_softmax or bc_continuous"
    raise ConfigError(
        f"{run.name} is for {ours} actions, {game} has {theirs} ones; use --config={fit}"
    )


def _check_continuous(run: RunConfig, continuous: bool) -> None:
    """Learner, controller and agent are all for continuous actions, or none of them is."""
    if continuous != (run.mac == CONTINUOUS_MAC):
        raise ConfigError(f"mac={run.mac} and learner={run.learner} do not fit")
    if continuous != (run.agent == "gaussian"):
        raise ConfigError(f"mac={run.mac} and agent={run.agent} do not fit")
    if continuous and run.runner != "offline":
        raise ConfigError(f"{run.name} learns from recorded data; use runner=offline")
    if run.learner and not continuous and run.batch_of == "transitions":
        raise ConfigError(
            f"batch_of=transitions is for learners without memory, {run.name} needs whole "
            "episodes; use batch_of=episodes"
        )
