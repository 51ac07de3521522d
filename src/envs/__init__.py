"""REGISTRY of environments, each imported only when a run asks for it.

An environment is a class that keeps the promises of `envs.base.VectorEnv`.
"""

from utils.registry import Registry

REGISTRY = Registry(
    {
        "smax": "envs.smax:SMAXEnv",
        "gymnasium": "envs.gymnasium:GymnasiumEnv",
        "mmdp": "envs.mmdp:MMDPEnv",
        "two_step": "envs.two_step:TwoStepEnv",
    }
)
