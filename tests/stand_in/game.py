"""The stand-in for the game's program: battles on a field of 32 x 32, one JSON line a request.

With STAND_IN_FAULT=die:N or hang:N it dies or hangs at its Nth step; if STAND_IN_TOKEN names a
file, only the one game that can take that file away does.
"""

import json
import math
import os
import random
import sys
import time

MOVES = {2: (0, 2), 3: (0, -2), 4: (2, 0), 5: (-2, 0)}


class Battle:
    def __init__(self, n_agents, n_enemies, seed):
        self.sizes, self.random = (n_agents, n_enemies), random.Random(seed)
        self.begin()

    def begin(self):
        self.allies = [[45.0, 9.0, 8.0 + i % 16] for i in range(self.sizes[0])]
        self.enemies = [[45.0, 23.0, 8.0 + i % 16] for i in range(self.sizes[1])]

    def step(self, actions):
        for unit, action in zip(self.allies, actions, strict=True):
            if action in MOVES:
                dx, dy = MOVES[action]
                unit[1], unit[2] = unit[1] + dx, unit[2] + dy
            elif action >= 6:
                hit(self.enemies[action - 6], 6.0 * self.random.random() + 5.0)
        for unit in self.enemies:
            targets = [t for t in self.allies if t[0] > 0]
            if unit[0] > 0 and targets:
                nearest = min(targets, key=lambda t: math.dist(t[1:], unit[1:]))
                if math.dist(nearest[1:], unit[1:]) <= 5:
                    hit(nearest, 16.0 * self.random.random())
                elif self.random.random() < 0.3:
                    unit[1] -= 1.0


def hit(unit, damage):
    unit[0] = max(0.0, unit[0] - damage)


def fault_of_this_game():
    kind, _, when = os.environ.get("STAND_IN_FAULT", "").partition(":")
    token = os.environ.get("STAND_IN_TOKEN")
    if kind and token:
        try:
            os.unlink(token)
        except FileNotFoundError:
            return "", 0
    return kind, int(when or 0)


def main():
    kind, when = fault_of_this_game()
    steps, battle = 0, None
    for line in sys.stdin:
        command, argument = json.loads(line)
        answer = None
        if command == "create":
            battle = Battle(*argument)
        elif command == "kill_all":
            battle.begin()
        elif command == "step":
            steps += 1
            if kind and steps == when:
                if kind == "die":
                    os._exit(139)
                time.sleep(3600)
            battle.step(argument)
        elif command == "observe":
            answer = [battle.allies, battle.enemies]
        elif command == "replay":
            answer = {"steps": steps}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


main()
