"""The YAML files of recipes: which there are, what they say, a recipe's after those it rests on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from utils.config import CONFIG_DIR, Layer, read_yaml
from utils.errors import ConfigError, nearest

FOLDER = CONFIG_DIR / "recipes"


def recipes() -> list[str]:
    """The names of the recipes in src/config/recipes."""
    return sorted(str(p.relative_to(FOLDER).with_suffix("")) for p in FOLDER.glob("*/*.yaml"))


def headline(name: str) -> str:
    """The first line of a recipe's comment."""
    return (FOLDER / f"{name}.yaml").read_text().partition("\n")[0].lstrip("# ")


def find_recipe(word: str) -> tuple[Path, str]:
    """(file, name) of a recipe that is named, or given as a path."""
    path = Path(word)
    if path.suffix == ".yaml":
        path = path.resolve()
        if not path.is_file():
            raise ConfigError(f"{word}: there is no such file")
        known = path.is_relative_to(FOLDER)
        return path, str(path.relative_to(FOLDER).with_suffix("")) if known else path.stem
    if word not in recipes():
        raise ConfigError(
            f"{word}: there is no src/config/recipes/{word}.yaml{nearest(word, recipes())}; "
            f"there are: {', '.join(recipes())}; another file is given with its .yaml"
        )
    return FOLDER / f"{word}.yaml", word


def layers_of(path: Path) -> list[Layer]:
    """default.yaml, then the recipe's `base`, after that one's own, then the recipe."""
    layers = [read_yaml(path)]
    while "base" in layers[0].values:
        source, base = layers[0].source, str(layers[0].values.pop("base"))
        file, bases = FOLDER / f"{base}.yaml", sorted(p.stem for p in FOLDER.glob("*.yaml"))
        if not file.is_file():
            raise ConfigError(
                f"base={base} ({source}): there is no src/config/recipes/{base}.yaml"
                f"{nearest(base, bases)}"
            )
        layer = read_yaml(file)
        if any(layer.source == known.source for known in layers):
            raise ConfigError(f"{source}: base={base} leads back to {layer.source}")
        layers.insert(0, layer)
    return [read_yaml(FOLDER / "default.yaml"), *layers]


def merged(layers: list[Layer]) -> dict[str, Any]:
    """Later layers win; env_args and with are merged key by key."""
    values: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.values.items():
            if key in ("env_args", "with"):
                if not isinstance(value, dict):
                    raise ConfigError(f"{key} ({layer.source}) must be keys with values")
                value = values.get(key, {}) | value
            values[key] = value
    return values
