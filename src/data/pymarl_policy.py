"""Policies of checkpoints that PyMARL or EPyMARL left: agent.th alone, with no configuration."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from controllers.basic_controller import BasicMAC
from data.formats import unlearnt_settings
from data.pymarl_origin import Origin
from data.record import BehaviourPolicy
from modules.agents.epymarl_agents import FeedForwardAgent, NonSharedAgent
from modules.agents.rnn_agent import RNNAgent
from utils.checkpoint import TRAINER_STATE
from utils.errors import CheckpointError

LINEAR = {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}
GRU_CELL = {"rnn.weight_ih", "rnn.weight_hh", "rnn.bias_ih", "rnn.bias_hh"}
NO_MEMORY = {"rnn.weight", "rnn.bias"}
NON_SHARED = re.compile(r"agents\.(\d+)\.")
GIVE_INPUTS = (
    "say which it was trained with: `with obs_last_action=True obs_agent_id=False`, or "
    "--pymarl-config=results/sacred/ID/config.json"
)


class Network(NamedTuple):
    """What agent.th holds, under the names of our networks, and the sizes read from it."""

    path: Path
    state: dict[str, Tensor]
    agents: int  # that have a network of their own; 0: all share one
    recurrent: bool
    inputs: int
    hidden: int
    actions: int

    def build(self) -> nn.Module:
        """The same function of the same inputs."""
        make = RNNAgent if self.recurrent else FeedForwardAgent
        parts = [make(self.inputs, self.hidden, self.actions) for _ in range(self.agents or 1)]
        agent = NonSharedAgent(parts) if self.agents else parts[0]
        agent.load_state_dict(self.state)
        return agent


def is_pymarls(folder: Path) -> bool:
    """Whether a checkpoint is not of this project, whose checkpoints have trainer_state.th."""
    return not (folder / TRAINER_STATE).is_file()


def read_network(folder: Path) -> Network:
    """The agent of a checkpoint; CheckpointError if it is not PyMARL's RNN agent or EPyMARL's."""
    path = folder / "agent.th"
    state = _read_state(path)
    if any(name.endswith("rnn.weight_ih_l0") for name in state):
        raise CheckpointError(
            f"{path} was learnt by this project, but {folder} lacks {TRAINER_STATE}: copy the "
            "whole folder"
        )
    networks = _networks(path, state)
    first = networks[0]
    hidden, inputs = (*first["fc1.weight"].shape, 0, 0)[:2]
    actions = (*first["fc2.weight"].shape, 0)[0]
    for network in networks:
        _check_shapes(path, network, inputs, hidden, actions)
    shared, recurrent = "fc1.weight" in state, first.keys() >= GRU_CELL
    named = {
        f"{name}_l0" if name[name.find("rnn.") :] in GRU_CELL else name: tensor
        for name, tensor in state.items()
    }
    agents = 0 if shared else len(networks)
    return Network(path, named, agents, recurrent, inputs, hidden, actions)


def load_pymarl_policy(network: Network, origin: Origin, seed: int | str) -> BehaviourPolicy:
    """A checkpoint's policy, in the environment that it comes from.

    seed: whatever tells its run from others, for nothing in the checkpoint does.
    """
    folder, info = network.path.parent, origin.info
    if network.actions != info.n_actions:
        raise CheckpointError(
            f"{network.path} chooses among {network.actions} actions, {origin.game} has "
            f"{info.n_actions}; name the environment and map that it was trained on"
        )
    if network.agents not in (0, info.n_agents):
        raise CheckpointError(
            f"{network.path} has networks of {network.agents} agents, {origin.game} has "
            f"{info.n_agents} agents; name the environment and map that it was trained on"
        )
    last_action, agent_id = _inputs(network, origin)
    updates = {
        "env_args": origin.env_args,
        "rnn_hidden_dim": network.hidden,
        "obs_last_action": last_action,
        "obs_agent_id": agent_id,
        "action_selector": origin.action_selector,
    }
    settings = unlearnt_settings(origin.env_config, "", updates)
    mac = BasicMAC(info, settings)
    mac.agent = network.build()
    facts = {
        "algorithm": origin.algorithm,
        "seed": seed,
        "checkpoint": f"{folder.parent.name}/{folder.name}",
    }
    if folder.name.isdigit():
        facts["t_env"] = int(folder.name)
    return BehaviourPolicy(mac, settings.run, facts)


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(
            f"{path.parent} has neither {TRAINER_STATE}, which this project's checkpoints have, "
            "nor agent.th, which PyMARL's have"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a file that is none it may be any
        reason = " ".join(str(error).split())
        if "Unsupported global" in reason:
            raise CheckpointError(
                f"{path} is a pickled object, which may run any code, not a network's weights; "
                "where it was made: torch.save(agent.state_dict(), 'agent.th')"
            ) from error
        raise CheckpointError(f"{path} cannot be read: {reason[:200]}") from error
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{path} holds no network's state")
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise CheckpointError(f"{path} holds no network's state")
    return state


def _networks(path: Path, state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """The one network that all agents share, or that of each agent."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        found = NON_SHARED.match(name)
        prefix = found[1] if found else ""
        parts.setdefault(prefix, {})[NON_SHARED.sub("", name, count=1)] = tensor
    numbered = [str(i) for i in range(len(parts))]
    kinds = (LINEAR | GRU_CELL, LINEAR | NO_MEMORY)
    alike = any(all(part.keys() == kind for part in parts.values()) for kind in kinds)
    if not alike or (set(parts) != {""} and set(parts) != set(numbered)):
        names = sorted(state)
        more = f", ... ({len(names)})" if len(names) > 8 else ""
        raise CheckpointError(
            f"{path} is another network than PyMARL's agent=rnn or EPyMARL's rnn and rnn_ns (fc1, "
            f"rnn, fc2): it has {', '.join(names[:8])}{more}"
        )
    return [parts[number] for number in (numbered if "" not in parts else [""])]


def _check_shapes(
    path: Path, network: dict[str, Tensor], inputs: int, hidden: int, actions: int
) -> None:
    wanted = {
        "fc1.weight": (hidden, inputs), "fc1.bias": (hidden,),
        "rnn.weight_ih": (3 * hidden, hidden), "rnn.weight_hh": (3 * hidden, hidden),
        "rnn.bias_ih": (3 * hidden,), "rnn.bias_hh": (3 * hidden,),
        "rnn.weight": (hidden, hidden), "rnn.bias": (hidden,),
        "fc2.weight": (actions, hidden), "fc2.bias": (actions,),
    }  # fmt: skip
    for name, tensor in network.items():
        if tuple(tensor.shape) != wanted[name]:
            raise CheckpointError(
                f"{path} is another network than PyMARL's: {name} is {tuple(tensor.shape)}, "
                f"beside its fc1.weight and fc2.weight it would be {wanted[name]}"
            )


def _inputs(network: Network, origin: Origin) -> tuple[bool, bool]:
    """(obs_last_action, obs_agent_id), which follow from the width of the input."""
    info = origin.info
    widths = {
        (last_action, agent_id): info.obs_shape
        + info.n_actions * last_action
        + info.n_agents * agent_id
        for last_action, agent_id in itertools.product((True, False), repeat=2)
        if origin.obs_last_action in (None, last_action) and origin.obs_agent_id in (None, agent_id)
    }
    fitting = [inputs for inputs, width in widths.items() if width == network.inputs]
    if len(fitting) == 1:
        return fitting[0]
    numbers = (
        f"{network.path} takes {network.inputs} numbers of an agent; in {origin.game} it sees "
        f"{info.obs_shape}, obs_last_action adds {info.n_actions}, obs_agent_id {info.n_agents}"
    )
    if fitting:
        raise CheckpointError(f"{numbers}, so that more than one fits; {GIVE_INPUTS}")
    given = {"obs_last_action": origin.obs_last_action, "obs_agent_id": origin.obs_agent_id}
    said = " ".join(f"{name}={value}" for name, value in given.items() if value is not None)
    raise CheckpointError(
        f"{numbers}{f' ({origin.said_by}: {said})' if said else ''}, and nothing fits; "
        "name the environment, map and env_args that it was trained with"
    )
