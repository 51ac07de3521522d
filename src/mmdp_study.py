"""python src/mmdp_study.py [--agents=1,3,...] [--seeds=N] [--t_max=N] [--jobs=N] [--out=FOLDER]

The paper's study of the multi-agent MDP (Section 3.2, C.2). For each number of agents 32 episodes
are recorded, 8 of them rewarded; BCQ-MA and ICQ-MA learn from them through the ordinary command
line; what their critics say of the rewarded joint action is read from the checkpoints and put
beside the true values, in mmdp.csv and mmdp.png. What is done already is not done again.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sweep
from components.episode_batch import EpisodeBatch
from controllers import REGISTRY as mac_REGISTRY
from data.read import RecordedEpisodes
from data.record import software
from data.schema import Metadata
from data.write import EpisodeWriter
from envs.mmdp import A1, S2, MMDPEnv
from learners import REGISTRY as le_REGISTRY
from main import parse_updates
from runners.rollout import rollout
from utils.checkpoint import read_checkpoint
from utils.config import check_settings, load_settings
from utils.errors import ConfigError, exit_code_of
from utils.records import completed_configs

METHODS = {"bcq": "BCQ-MA", "icq": "ICQ-MA"}
AGENTS, SEEDS, T_MAX = "1,3,5,7,9,11,15", 3, 400
EPISODES, REWARDED = 32, 8
TOGETHER = 0.1  # how often all choose A(1); else one of the other joint actions
GAMMA = 0.99
SETTINGS = (
    "td_lambda=0.0",  # eq. 57 is one step, so both are
    "critic_lr=0.005",  # the critics can follow their targets within a target period
    "critic_hidden_dim=32", "rnn_hidden_dim=16", "test_nepisode=0", f"gamma={GAMMA}",
)  # fmt: skip
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Estimate:
    """Q_tot(s2, all A(1)) of one critic, and the true value for two policies that go on for ever.

    Whatever policy a critic values, the recorded one, the best one or one between them, the truth
    lies between those two.
    """

    n_agents: int
    algorithm: str
    seed: int
    t_env: int
    estimate: float
    recorded: float
    best: float
    amplification: float  # of the data set, see `amplification`

    @property
    def error(self) -> float:
        """How far the estimate is outside of what can be true."""
        return max(self.recorded - self.estimate, self.estimate - self.best, 0.0)


class Behaviour:
    """The policy that is recorded: all A(1) equally often for any number of agents."""

    def __init__(self, n_agents: int, seed: int) -> None:
        self._n, self._rng = n_agents, np.random.default_rng([seed, n_agents])

    def select_actions(
        self, obs: Tensor, avail_actions: Tensor, last_actions: Tensor, hidden: Tensor | None,
        epsilon: float = 0.0, generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """obs (B,N,O) -> actions (B,N)."""
        actions = self._rng.integers(2, size=(len(obs), self._n))
        while (all_a1 := actions.all(1)).any():
            actions[all_a1] = self._rng.integers(2, size=(int(all_a1.sum()), self._n))
        actions[self._rng.random(len(obs)) < TOGETHER] = A1
        return torch.from_numpy(actions), None


def recorded_value(n_agents: int) -> float:
    """Q^mu(s2, all A(1)) = 1 + gamma V with V = mu(all A(1)) + gamma (1 - P(fall)) V; odd n."""
    fall = (1 - TOGETHER) * 2 ** (n_agents - 1) / (2**n_agents - 1)
    return 1 + GAMMA * TOGETHER / (1 - GAMMA * (1 - fall))


def record(n_agents: int, seed: int, path: Path) -> None:
    """Play until there are 8 rewarded and 24 other episodes, and write those."""
    env_args = {"n_agents": n_agents}
    env, behaviour = MMDPEnv(env_args, EPISODES), Behaviour(n_agents, seed)
    rounds: list[EpisodeBatch] = []
    chosen: list[int] = []
    while len(chosen) < EPISODES:
        rounds.append(rollout(env, behaviour, 0, CPU)[0])
        rewarded = torch.cat([batch.returns for batch in rounds]) > 0
        groups = ((rewarded, REWARDED), (~rewarded, EPISODES - REWARDED))
        chosen = [i for group, n in groups for i in group.nonzero().flatten()[:n].tolist()]
    episodes = EpisodeBatch.concatenate(rounds).episodes(chosen)
    policy = {"algorithm": "all A(1) or any other joint action", "seed": seed}
    metadata = Metadata("mmdp", env_args, env.info, "study", [policy], software())
    with EpisodeWriter(path, metadata) as writer:
        writer.append(episodes, episodes.state[:, -1, S2].numpy() == 1, 0, seed)


def amplification(path: Path) -> float:
    """What one target period makes of the value of all A(1) in s2, if the critic fits exactly.

    The target of a step in s2 that stays there is gamma times that value (and the reward); fitted
    by least squares with sum_i w_i Q_i(a_i) + b, the value of all A(1) becomes this many times as
    large. Above 1 it grows without end. One agent's fit is exact: gamma.
    """
    data = RecordedEpisodes(path)
    batch = data.read(np.arange(len(data)))
    in_s2 = batch.state[..., S2] == 1
    here, stays = in_s2[:, :-1] & batch.mask, in_s2[:, 1:]
    actions = batch.actions[:, :-1][here].double()
    features = torch.cat([torch.ones_like(actions[:, :1]), actions], dim=1)
    fit = np.linalg.lstsq(features.numpy(), GAMMA * stays[here].double().numpy(), rcond=None)[0]
    return float(fit.sum())


def commands(agents: Sequence[int], seeds: int, t_max: int, out: Path) -> list[list[str]]:
    """The words behind `python src/main.py` of every run."""
    keys = [*SETTINGS, f"t_max={t_max}", f"save_model_interval={max(t_max // 20, 1)}"]
    return [
        [f"--config={method}", "--env-config=mmdp", "with", f"env_args.n_agents={n}",
         f"seed={seed}", f"dataset={out / 'data' / f'{n}_agents_seed_{seed}.h5'}", *keys,
         f"local_results_path={out}"]
        for n in agents for seed in range(1, seeds + 1) for method in METHODS
    ]  # fmt: skip


def read_estimates(out: Path) -> list[Estimate]:
    """Every checkpoint's, of every completed run."""
    found = []
    for token, config in completed_configs(out).items():
        for folder in sorted((out / "models" / token).glob("[0-9]*"), key=lambda p: int(p.name)):
            found.append(_read_estimate(folder, config))
    return found


@torch.no_grad()
def _read_estimate(folder: Path, config: dict[str, Any]) -> Estimate:
    settings = check_settings(config)
    n = settings.run.env_args["n_agents"]
    info = MMDPEnv.env_info(settings.run.env_args)
    mac = mac_REGISTRY[settings.run.mac](info, settings)
    learner = le_REGISTRY[settings.run.learner](mac, info, settings.learner, CPU)
    learner.load_state_dict(read_checkpoint(folder)[0])
    state = torch.eye(2)[S2 : S2 + 1]
    qs = learner.networks["critic"](state, state.expand(1, n, 2))
    q_tot = float(learner.networks["mixer"](qs[..., A1], state))
    return Estimate(
        n, config["name"], settings.run.seed, int(folder.name), q_tot, recorded_value(n),
        1 / (1 - GAMMA), amplification(settings.run.dataset_path),
    )  # fmt: skip


def draw(estimates: list[Estimate], path: Path) -> None:
    """One panel for each number of agents: mean and range over seeds, and what can be true."""
    from matplotlib.figure import Figure

    agents = sorted({e.n_agents for e in estimates})
    columns = min(len(agents), 4)
    rows = -(-len(agents) // columns)
    figure = Figure(figsize=(2.6 * columns + 0.6, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel in panels[len(agents) :]:
        panel.set_visible(False)
    for panel, n in zip(panels, agents, strict=False):
        for color, (method, label) in enumerate(METHODS.items()):
            times, values = _curve(_of(estimates, n, method))
            panel.plot(times, values.mean(0), color=f"C{color}", label=label)
            panel.fill_between(times, values.min(0), values.max(0), color=f"C{color}", alpha=0.2)
        panel.axhline(1 / (1 - GAMMA), color="black", ls="--", label="truth, best policy")
        panel.axhline(recorded_value(n), color="gray", ls=":", label="truth, recorded policy")
        panel.set(title=f"{n} agent{'s' * (n > 1)}", yscale="symlog")
    figure.supxlabel("training steps")
    figure.supylabel("Q_tot(s2, all A(1))")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=110)


def _of(estimates: list[Estimate], n_agents: int, algorithm: str) -> list[Estimate]:
    return [e for e in estimates if (e.n_agents, e.algorithm) == (n_agents, algorithm)]


def _curve(estimates: list[Estimate]) -> tuple[list[int], np.ndarray]:
    times = sorted({e.t_env for e in estimates})
    seeds = sorted({e.seed for e in estimates})
    values = {(e.seed, e.t_env): e.estimate for e in estimates}
    return times, np.array([[values[seed, t] for t in times] for seed in seeds])


def table(estimates: list[Estimate]) -> str:
    """Markdown: the last estimates, mean over seeds."""
    last = max(e.t_env for e in estimates)
    lines = ["| agents | truth: recorded policy, best | BCQ-MA | ICQ-MA | amplification |"]
    lines.append("| ---: | ---: | ---: | ---: | ---: |")
    for n in sorted({e.n_agents for e in estimates}):
        final = {m: [e for e in _of(estimates, n, m) if e.t_env == last] for m in METHODS}
        means = [float(np.mean([e.estimate for e in found])) for found in final.values()]
        factor = float(np.mean([e.amplification for e in final["bcq"]]))
        numbers = f"{means[0]:.2f} | {means[1]:.2f} | {factor:.2f}"
        lines.append(f"| {n} | {recorded_value(n):.2f}, {1 / (1 - GAMMA):.0f} | {numbers} |")
    return "\n".join(lines)


def write_csv(estimates: list[Estimate], path: Path) -> None:
    """Every estimate, sorted."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Estimate)])
        writer.writeheader()
        for e in sorted(estimates, key=lambda e: (e.n_agents, e.algorithm, e.seed, e.t_env)):
            rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(e).items()}
            writer.writerow(rounded)


def main(argv: list[str]) -> int:
    """Run the command -> its exit code."""
    parser = argparse.ArgumentParser(prog="python src/mmdp_study.py", description=__doc__)
    parser.add_argument("--agents", default=AGENTS, help="odd numbers of agents")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of data and training")
    parser.add_argument("--t_max", type=int, default=T_MAX, help="training steps of a run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at once")
    parser.add_argument("--out", type=Path, default=Path("results/mmdp"))
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _study(args))


def _study(args: argparse.Namespace) -> int:
    words = args.agents.split(",")
    if not all(word.isdigit() and int(word) % 2 for word in words):
        raise ConfigError(f"--agents={args.agents} must be odd numbers, as in {AGENTS}")
    for name in ("seeds", "t_max", "jobs"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name}={getattr(args, name)} must be 1 or more")
    out, agents = args.out.resolve(), [int(word) for word in words]
    for n in agents:
        for seed in range(1, args.seeds + 1):
            path = out / "data" / f"{n}_agents_seed_{seed}.h5"
            if not path.is_file():
                record(n, seed, path)
    return _run_and_report(commands(agents, args.seeds, args.t_max, out), args.jobs, out)


def _run_and_report(runs: list[list[str]], jobs: int, out: Path) -> int:
    configured = [
        (
            run,
            load_settings(run[0].removeprefix("--config="), "mmdp", parse_updates(run[3:])).values,
        )
        for run in runs
    ]
    code = sweep.run_all(sweep.pending(configured), jobs)
    estimates = read_estimates(out)
    write_csv(estimates, out / "mmdp.csv")
    draw(estimates, out / "mmdp.png")
    sys.stdout.write(f"{table(estimates)}\n\nwrote {out / 'mmdp.csv'} and {out / 'mmdp.png'}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
