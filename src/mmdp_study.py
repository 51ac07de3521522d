"""python src/mmdp_study.py [--agents=1,3,...] [--seeds=N] [--t_max=N] [--jobs=N] [--out=FOLDER]

The paper's study of the multi-agent MDP (Section 3.2, C.2). For each number of agents 32 episodes
are recorded, 8 of them rewarded; BCQ-MA and ICQ-MA learn from them through the ordinary command
line; what their critics say of the rewarded joint action is read from the checkpoints and put
beside the true values, in mmdp.csv and mmdp.png. What is done already is not done again.
"""

from __future__ import annotations

import argparse
import csv
import itertools
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
from utils.config import Settings, check_settings, load_settings
from utils.errors import ConfigError, DataError, exit_code_of
from utils.records import completed_configs

METHODS = {"bcq": "BCQ-MA", "icq": "ICQ-MA"}
AGENTS, SEEDS, T_MAX = "1,3,5,7,9,11,15", 3, 400
EPISODES, REWARDED = 32, 8
TOGETHER = 0.1  # how often all choose A(1); else one of the other joint actions
GAMMA = 0.99
BEST = 1 / (1 - GAMMA)  # Q(s2, all A(1)) of A(1) for ever
SETTINGS = [
    "td_lambda=0.0",  # eq. 57 is one step, so both are
    "lr=0.0005",  # Table 4's
    "critic_lr=0.005",  # the critics can follow their targets within a target period
    "critic_hidden_dim=32", "rnn_hidden_dim=16", "test_nepisode=0", f"gamma={GAMMA}",
]  # fmt: skip
OWN = {"bcq": ["zeta=0.1"], "icq": []}  # one agent's A(1) is a quarter of its actions in s2
CPU = torch.device("cpu")
Planned = tuple[list[str], dict[str, Any]]  # the words behind main.py, their configuration


@dataclass(frozen=True)
class Estimate:
    """Q_tot(s2, all A(1)) of one critic, beside what its data says.

    recorded: the true value if the recorded policy goes on. amplification: see there.
    """

    n_agents: int
    algorithm: str
    seed: int
    t_env: int
    estimate: float
    recorded: float
    amplification: float


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
    metadata = Metadata("mmdp", env_args, env.info, "study", [policy], software({}))
    with EpisodeWriter(path, metadata) as writer:
        writer.append(episodes, episodes.state[:, -1, S2].numpy() == 1, 0, seed)


def steps_in_s2(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(M,N) joint actions taken in s2, (M,) whether they stayed there."""
    data = RecordedEpisodes(path)
    batch = data.read(np.arange(len(data)))
    in_s2 = (batch.state[..., S2] == 1).numpy()
    here = in_s2[:, :-1] & batch.mask.numpy()
    return batch.actions[:, :-1].numpy()[here], in_s2[:, 1:][here]


def recorded_value(actions: np.ndarray, stays: np.ndarray) -> float:
    """Q(s2, all A(1)) = 1 + gamma V of the policy with the recorded frequencies p in s2.

    V = p(all A(1)) + gamma p(stay) V. actions (M,N), stays (M,).
    """
    together = float((actions == A1).all(1).mean())
    return 1 + GAMMA * together / (1 - GAMMA * float(stays.mean()))


def amplification(actions: np.ndarray, stays: np.ndarray) -> float:
    """What one target period makes of the value of all A(1) in s2, if the critic fits exactly.

    The target of a step in s2 that stays there is gamma times that value (and the reward); fitted
    by least squares with sum_i w_i Q_i(a_i) + b, the value of all A(1) becomes this many times as
    large. Above 1 it grows without end. One agent's fit is exact: gamma.
    """
    features = np.column_stack([np.ones(len(actions)), actions])
    fit = np.linalg.lstsq(features, GAMMA * stays.astype(float), rcond=None)[0]
    return float(fit.sum())


def plan(agents: Sequence[int], seeds: int, t_max: int, out: Path) -> list[Planned]:
    """Every run of the study."""
    every = [*SETTINGS, f"t_max={t_max}", f"save_model_interval={max(t_max // 20, 1)}"]
    planned = []
    for n, seed, method in itertools.product(agents, range(1, seeds + 1), METHODS):
        keys = [f"env_args.n_agents={n}", f"seed={seed}", f"dataset={_data_path(out, n, seed)}"]
        keys += [*every, *OWN[method], f"local_results_path={out}"]
        values = load_settings(method, "mmdp", parse_updates(keys)).values
        planned.append(([f"--config={method}", "--env-config=mmdp", "with", *keys], values))
    return planned


def _data_path(out: Path, n_agents: int, seed: int) -> Path:
    return out / "data" / f"{n_agents}_agents_seed_{seed}.h5"


def read_estimates(planned: list[Planned], out: Path) -> list[Estimate]:
    """Of every checkpoint of the planned runs."""
    wanted = [values for _, values in planned]
    found: list[Estimate] = []
    for token, config in completed_configs(out).items():
        if config in wanted:
            found += _of_run(check_settings(config), out / "models" / token)
    return found


@torch.no_grad()
def _of_run(settings: Settings, models: Path) -> list[Estimate]:
    run, info = settings.run, MMDPEnv.env_info(settings.run.env_args)
    n, name = info.n_agents, run.name
    learner = le_REGISTRY[run.learner](
        mac_REGISTRY[run.mac](info, settings), info, settings.learner, CPU
    )
    data = steps_in_s2(run.dataset_path)
    facts = recorded_value(*data), amplification(*data)
    state = torch.eye(2)[S2 : S2 + 1]
    found = []
    for t_env in sorted(int(folder.name) for folder in models.glob("[0-9]*")):
        learner.load_state_dict(read_checkpoint(models / str(t_env))[0])
        qs = learner.networks["critic"](state, state.expand(1, n, 2))
        q_tot = float(learner.networks["mixer"](qs[..., A1], state))
        found.append(Estimate(n, name, run.seed, t_env, q_tot, *facts))
    return found


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
        recorded = np.mean([e.recorded for e in estimates if e.n_agents == n])
        panel.axhline(BEST, color="black", ls="--", label="truth, best policy")
        panel.axhline(recorded, color="gray", ls=":", label="truth, recorded policy")
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
        final = [[e for e in _of(estimates, n, m) if e.t_env == last] for m in METHODS]
        bcq, icq = (np.mean([e.estimate for e in found]) for found in final)
        facts = np.mean([(e.recorded, e.amplification) for e in final[0]], axis=0)
        lines.append(
            f"| {n} | {facts[0]:.2f}, {BEST:.0f} | {bcq:.2f} | {icq:.2f} | {facts[1]:.2f} |"
        )
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
    if not all(word.isascii() and word.isdigit() and int(word) % 2 for word in words):
        raise ConfigError(f"--agents={args.agents} must be odd numbers, as in {AGENTS}")
    for name in ("seeds", "t_max", "jobs"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name}={getattr(args, name)} must be 1 or more")
    out, agents = args.out.resolve(), [int(word) for word in words]
    for n, seed in itertools.product(agents, range(1, args.seeds + 1)):
        if not _data_path(out, n, seed).is_file():
            record(n, seed, _data_path(out, n, seed))
    planned = plan(agents, args.seeds, args.t_max, out)
    if sweep.run_all(sweep.pending(planned), args.jobs):
        raise DataError(f"not every run ended, so nothing is drawn; repeat the command ({out})")
    estimates = read_estimates(planned, out)
    write_csv(estimates, out / "mmdp.csv")
    draw(estimates, out / "mmdp.png")
    sys.stdout.write(f"{table(estimates)}\n\nwrote {out / 'mmdp.csv'} and {out / 'mmdp.png'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
