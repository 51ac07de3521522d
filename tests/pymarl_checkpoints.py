"""Checkpoints as PyMARL and EPyMARL leave them, and their agents, stepped in a loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, relu


class StockAgent(nn.Module):
    """fc1, a GRU cell (or a linear layer with ReLU), fc2: one step for rows of inputs."""

    def __init__(self, inputs: int, hidden: int, actions: int, use_rnn: bool = True) -> None:
        super().__init__()
        self.hidden = hidden
        self.fc1 = nn.Linear(inputs, hidden)
        self.rnn = nn.GRUCell(hidden, hidden) if use_rnn else nn.Linear(hidden, hidden)
        self.fc2 = nn.Linear(hidden, actions)

    def forward(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (R,I), hidden (R,H) -> values (R,A), hidden (R,H)."""
        x = relu(self.fc1(inputs))
        hidden = self.rnn(x, hidden) if isinstance(self.rnn, nn.GRUCell) else relu(self.rnn(x))
        return self.fc2(hidden), hidden


class StockAgents(nn.Module):
    """A network for each agent, as EPyMARL's rnn_ns."""

    def __init__(self, agents: int, *sizes: int, use_rnn: bool = True) -> None:
        super().__init__()
        self.nets = [StockAgent(*sizes, use_rnn=use_rnn) for _ in range(agents)]
        self.agents = nn.ModuleList(self.nets)


def stock_values(
    agent: StockAgent | StockAgents, obs: Tensor, actions: Tensor, n_actions: int,
    order: tuple[str, ...] = ("obs", "action", "id"),
) -> Tensor:  # fmt: skip
    """Step by step: obs (B,T,N,O), actions (B,T,N) that were taken -> values (B,T,N,A)."""
    b, t, n, _ = obs.shape
    nets = agent.nets if isinstance(agent, StockAgents) else [agent] * n
    hiddens = [torch.zeros(b, net.hidden) for net in nets]
    values = []
    for step in range(t):
        last = torch.zeros(b, n, n_actions)
        if step:
            last = one_hot(actions[:, step - 1].long(), n_actions).float()
        parts = {"obs": obs[:, step], "action": last, "id": torch.eye(n).expand(b, n, n)}
        inputs = torch.cat([parts[name] for name in order], dim=-1)
        row = []
        for i, net in enumerate(nets):
            q, hiddens[i] = net(inputs[:, i], hiddens[i])
            row.append(q)
        values.append(torch.stack(row, dim=1))
    return torch.stack(values, dim=1)


def save(agent: nn.Module, folder: Path) -> Path:
    """One checkpoint of a value-based learner."""
    folder.mkdir(parents=True)
    torch.save(agent.state_dict(), folder / "agent.th")
    torch.save(nn.Linear(1, 1).state_dict(), folder / "mixer.th")
    torch.save(torch.optim.RMSprop(agent.parameters()).state_dict(), folder / "opt.th")
    return folder


def sacred_config(path: Path, **values: Any) -> Path:
    """The config.json of a run, with the keys that are read and some that are not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    usual = {
        "env": "two_step", "env_args": {"seed": 5}, "agent": "rnn", "mac": "basic_mac",
        "name": "qmix", "seed": 11, "obs_last_action": True, "obs_agent_id": True,
        "agent_output_type": "q", "use_cuda": True, "rnn_hidden_dim": 16,
    }  # fmt: skip
    path.write_text(json.dumps(usual | values))
    return path


def agent_of(kind: str, inputs: int, actions: int, agents: int, seed: int = 0) -> Any:
    """A network of random weights, wide enough for its actions to change."""
    torch.manual_seed(seed)
    if kind.startswith("rnn_ns"):
        agent = StockAgents(agents, inputs, 16, actions, use_rnn=kind == "rnn_ns")
    else:
        agent = StockAgent(inputs, 16, actions, use_rnn=kind == "rnn")
    for parameter in agent.parameters():
        nn.init.normal_(parameter, std=0.7)
    return agent


def stock_run(models: Path, name: str, seed: int, inputs: int = 7) -> Path:
    """A run's folder with three checkpoints for two_step."""
    for t_env in (100, 9, 2000):
        save(agent_of("rnn", inputs, 2, 2, seed + t_env), models / name / str(t_env))
    return models / name


def stock_runs(tmp_path: Path) -> list[str]:
    """Two runs of stock PyMARL for two_step."""
    return [
        str(stock_run(tmp_path / "models", f"qmix__{day}", seed))
        for seed, day in enumerate(("2020-01-01_10-00-00", "2020-01-02_10-00-00"))
    ]
