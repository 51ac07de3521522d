"""REGISTRY of environments, each imported only when a run asks for it.

An environment is a class that keeps the promises of `envs.base.VectorEnv`.
"""

from typing import Any

from utils.registry import Registry

REGISTRY = Registry(
    {
        "sc2": "envs.sc2:SC2Env",
        "smax": "envs.smax:SMAXEnv",
        "smaclite": "envs.smaclite:SMACliteEnv",
        "gymma": "envs.gymma:GymmaEnv",
        "pettingzoo": "envs.pettingzoo:PettingZooEnv",
        "gymnasium": "envs.gymnasium:GymnasiumEnv",
        "mmdp": "envs.mmdp:MMDPEnv",
        "two_step": "envs.two_step:TwoStepEnv",
    }
)


def game_of(env: str, env_args: dict[str, Any]) -> dict[str, Any]:
    """What data, checkpoints and runs must agree in: the environment and what changes its game.

    Of an environment that is not known here everything counts.
    """
    free = REGISTRY[env].FREE_ARGS if env in REGISTRY else frozenset[str]()
    return {"env": env} | {key: value for key, value in env_args.items() if key not in free}
