"""Map -> agents, enemies, time limit, whether units have shields, bits of a unit's type."""

KEYS = ("n_agents", "n_enemies", "limit", "a_race", "b_race", "unit_type_bits")
MAPS = {
    "3m": (3, 3, 60, "T", "T", 0),
    "2s3z": (5, 5, 120, "P", "P", 2),
    "3s5z": (8, 8, 150, "P", "P", 2),
    "3s_vs_3z": (3, 3, 150, "P", "P", 0),
    "MMM": (10, 10, 150, "T", "T", 3),
    "MMM2": (10, 12, 180, "T", "T", 3),
    "so_many_baneling": (7, 32, 100, "P", "Z", 0),
    "10m_vs_11m": (10, 11, 150, "T", "T", 0),
    "27m_vs_30m": (27, 30, 180, "T", "T", 0),
    "2c_vs_64zg": (2, 64, 400, "P", "Z", 0),
}


def get_smac_map_registry():
    return {name: dict(zip(KEYS, values, strict=True)) for name, values in MAPS.items()}
