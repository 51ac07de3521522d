"""StarCraft2Env over the stand-in game: its arguments, sizes, types, infos and ways to fail."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from smac.env.starcraft2.maps.smac_maps import get_smac_map_registry

NO_ATTACK, SIGHT, RANGE = 6, 9.0, 6.0
MOVES = {2: (0, 2), 3: (0, -2), 4: (2, 0), 5: (-2, 0)}


class StarCraft2Env:
    def __init__(
        self, map_name="8m", step_mul=8, move_amount=2, difficulty="7", game_version=None,
        seed=None, continuing_episode=False, obs_all_health=True, obs_own_health=True,
        obs_last_action=False, obs_pathing_grid=False, obs_terrain_height=False,
        obs_instead_of_state=False, obs_timestep_number=False, state_last_action=True,
        state_timestep_number=False, reward_sparse=False, reward_only_positive=True,
        reward_death_value=10, reward_win=200, reward_defeat=0, reward_negative_scale=0.5,
        reward_scale=True, reward_scale_rate=20, replay_dir="", replay_prefix="",
        window_size_x=1920, window_size_y=1200, heuristic_ai=False, heuristic_rest=False,
        debug=False,
    ):  # fmt: skip
        self.options = {k: v for k, v in locals().items() if k != "self"}
        self.map_name, self.replay_dir, self.replay_prefix = map_name, replay_dir, replay_prefix
        params = get_smac_map_registry()[map_name]
        self.n_agents, self.n_enemies = params["n_agents"], params["n_enemies"]
        self.episode_limit = params["limit"]
        self.n_actions = NO_ATTACK + self.n_enemies
        self.type_bits = params["unit_type_bits"]
        self.ally_shield = int(params["a_race"] == "P")
        self.enemy_shield = int(params["b_race"] == "P")
        self.battles_won = self.battles_game = self.timeouts = self.force_restarts = 0
        self._episode_count = self._episode_steps = 0
        self._process = None

    def reset(self):
        self._episode_steps = 0
        if self._episode_count == 0:
            self._launch()
        else:
            try:
                self._ask("kill_all")
            except ConnectionError:
                self.full_restart()
        self.last_action = np.zeros((self.n_agents, self.n_actions))
        self._look()
        self._before = self._health()
        return self.get_obs(), self.get_state()

    def full_restart(self):
        self._stop()
        self._launch()
        self.force_restarts += 1

    def step(self, actions):
        actions = [int(a) for a in actions]
        self.last_action = np.eye(self.n_actions)[np.array(actions)]
        avail = self.get_avail_actions()
        for agent, action in enumerate(actions):
            assert avail[agent][action] == 1, f"Agent {agent} cannot perform action {action}"
        try:
            self._ask("step", actions)
            self._look()
        except ConnectionError:
            self.full_restart()
            return 0, True, {}
        self._episode_steps += 1
        health, terminated = self._health(), False
        reward = float((self._before[1] - health[1]).sum())
        reward += (
            self.options["reward_death_value"] * ((self._before[1] > 0) & (health[1] == 0)).sum()
        )
        self._before = health
        dead = [int((team == 0).sum()) for team in health]
        info = {"battle_won": False, "dead_allies": dead[0], "dead_enemies": dead[1]}
        if dead[0] == self.n_agents or dead[1] == self.n_enemies:
            terminated = True
            if dead[0] < self.n_agents:
                info["battle_won"] = True
                self.battles_won += 1
                reward += self.options["reward_win"]
        elif self._episode_steps >= self.episode_limit:
            terminated = True
            self.timeouts += 1
            if self.options["continuing_episode"]:
                info["episode_limit"] = True
        if terminated:
            self._episode_count += 1
            self.battles_game += 1
        return float(reward / self._max_reward() * 20), terminated, info

    def get_obs(self):
        return [self.get_obs_agent(i) for i in range(self.n_agents)]

    def get_obs_agent(self, i):
        allies, enemies = self._units
        obs = np.zeros(self.get_obs_size(), dtype=np.float32)
        if allies[i][0] == 0:
            return obs
        obs[:4] = self.get_avail_agent_actions(i)[2:6]
        others = [*enumerate(enemies), *((j, u) for j, u in enumerate(allies) if j != i)]
        place = 4 + 8 * self.options["obs_pathing_grid"] + 9 * self.options["obs_terrain_height"]
        for k, (_, unit) in enumerate(others):
            width = self._enemy_width() if k < self.n_enemies else self._ally_width()
            far = np.hypot(unit[1] - allies[i][1], unit[2] - allies[i][2])
            if unit[0] > 0 and far < SIGHT:
                obs[place : place + 2] = 1.0, far / SIGHT
            place += width
        obs[place] = allies[i][0] / 45
        return obs

    def get_state(self):
        allies, enemies = self._units
        if self.options["obs_instead_of_state"]:
            return np.concatenate(self.get_obs()).astype(np.float32)
        parts = []
        for units, width in ((allies, self._ally_state()), (enemies, self._enemy_state())):
            rows = np.zeros((len(units), width))
            rows[:, :3] = np.array(units) / (45, 32, 32)
            parts.append(rows.flatten())
        if self.options["state_last_action"]:
            parts.append(self.last_action.flatten())
        if self.options["state_timestep_number"]:
            parts.append([self._episode_steps / self.episode_limit])
        return np.concatenate(parts).astype(np.float32)

    def get_avail_actions(self):
        return [self.get_avail_agent_actions(i) for i in range(self.n_agents)]

    def get_avail_agent_actions(self, i):
        allies, enemies = self._units
        hp, x, y = allies[i]
        if hp == 0:
            return [1] + [0] * (self.n_actions - 1)
        avail = [0] * self.n_actions
        avail[1] = 1
        for action, (dx, dy) in MOVES.items():
            avail[action] = int(0 <= x + dx <= 32 and 0 <= y + dy <= 32)
        for j, enemy in enumerate(enemies):
            in_range = np.hypot(enemy[1] - x, enemy[2] - y) <= RANGE
            avail[NO_ATTACK + j] = int(enemy[0] > 0 and in_range)
        return avail

    def get_total_actions(self):
        return self.n_actions

    def get_obs_size(self):
        o = self.options
        own = self.type_bits + (o["obs_own_health"] or o["obs_all_health"]) * (1 + self.ally_shield)
        move = 4 + 8 * o["obs_pathing_grid"] + 9 * o["obs_terrain_height"]
        units = self.n_enemies * self._enemy_width() + (self.n_agents - 1) * self._ally_width()
        return move + units + own + o["obs_timestep_number"]

    def get_state_size(self):
        o = self.options
        if o["obs_instead_of_state"]:
            return self.get_obs_size() * self.n_agents
        size = self.n_agents * self._ally_state() + self.n_enemies * self._enemy_state()
        return (
            size
            + o["state_last_action"] * self.n_agents * self.n_actions
            + o["state_timestep_number"]
        )

    def get_env_info(self):
        return {
            "state_shape": self.get_state_size(), "obs_shape": self.get_obs_size(),
            "n_actions": self.n_actions, "n_agents": self.n_agents,
            "episode_limit": self.episode_limit, "agent_features": ["health"],
            "enemy_features": ["health"],
        }  # fmt: skip

    def get_stats(self):
        return {"battles_won": self.battles_won, "win_rate": self.battles_won / self.battles_game}

    def seed(self):
        return self.options["seed"]

    def save_replay(self):
        name = f"{self.replay_prefix or self.map_name}_{time.strftime('%Y-%m-%d-%H-%M-%S')}"
        folder = Path(os.environ["SC2PATH"], "Replays", self.replay_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.SC2Replay").write_text(json.dumps(self._ask("replay")))

    def close(self):
        self._stop()

    def _ally_width(self):
        o = self.options
        health = o["obs_all_health"] * (1 + self.ally_shield)
        return 4 + self.type_bits + health + o["obs_last_action"] * self.n_actions

    def _enemy_width(self):
        health = self.options["obs_all_health"] * (1 + self.enemy_shield)
        return 4 + self.type_bits + health

    def _ally_state(self):
        return 4 + self.ally_shield + self.type_bits

    def _enemy_state(self):
        return 3 + self.enemy_shield + self.type_bits

    def _max_reward(self):
        o = self.options
        return self.n_enemies * (o["reward_death_value"] + 45) + o["reward_win"]

    def _health(self):
        return tuple(np.array([unit[0] for unit in team]) for team in self._units)

    def _launch(self):
        binary = max(Path(os.environ["SC2PATH"], "Versions").glob("Base*/SC2_x64"))
        self._folder = tempfile.mkdtemp(prefix="sc-")
        self._process = subprocess.Popen(
            [str(binary)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._ask("create", [self.n_agents, self.n_enemies, self.options["seed"] or 0])

    def _look(self):
        self._units = self._ask("observe")

    def _ask(self, command, argument=None):
        try:
            self._process.stdin.write(json.dumps([command, argument]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self._process.stdout.readline()
        if not line:
            raise ConnectionError("the game ended")
        return json.loads(line)

    def _stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._process = None
