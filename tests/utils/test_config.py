"""The configuration: layers, defaults, and every mistake in one line before anything starts."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from batches import CONTINUOUS, ENV_OF

import main
import utils.config
from learners import CONFIGS
from utils.config import CONFIG_DIR, RunConfig, available, check_settings, load_settings
from utils.errors import ConfigError
from utils.paths import ROOT

MAIN = ROOT / "src" / "main.py"
TYPED = "(the command line)"
ALGS, ENVS = ", ".join(available("algs")), ", ".join(available("envs"))
FAST = 5.0  # seconds, on a busy machine


def mistake(alg: str = "qmix", env: str = "two_step", **updates: Any) -> str:
    """What a configuration with a mistake in it is answered."""
    with pytest.raises(ConfigError) as error:
        load_settings(alg, env, updates)
    assert error.value.exit_code == 2
    return str(error.value)


@pytest.fixture
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of src/config that a test may change."""
    folder = tmp_path / "src" / "config"
    shutil.copytree(CONFIG_DIR, folder)
    monkeypatch.setattr(utils.config, "ROOT", tmp_path)
    monkeypatch.setattr(utils.config, "CONFIG_DIR", folder)
    return folder


def add(path: Path, text: str) -> None:
    """Write lines behind a file's own."""
    path.write_text(f"{path.read_text()}\n{text}\n")


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"lrr": 0.1}, f"lrr {TYPED} is not a key of qmix; did you mean lr?"),
        ({"td_lamda": 0.1}, f"td_lamda {TYPED} is not a key of qmix; did you mean td_lambda?"),
        ({"zzz": 1}, f"zzz {TYPED} is not a key of qmix"),
        ({"policy_temperature": 1.0}, f"policy_temperature {TYPED} is not a key of qmix"),
        ({"lr": "fast"}, f"lr=fast {TYPED}: input should be a valid number"),
        ({"lr": "3e-4"}, f"lr=3e-4 {TYPED}: input should be a valid number"),
        ({"lr": 0}, f"lr=0 {TYPED}: input should be greater than 0"),
        ({"gamma": 2}, f"gamma=2 {TYPED}: input should be less than or equal to 1"),
        ({"t_max": -1}, f"t_max=-1 {TYPED}: input should be greater than or equal to 1"),
        ({"t_max": 1.5}, f"t_max=1.5 {TYPED}: input should be a valid integer"),
        ({"double_q": 1}, f"double_q=1 {TYPED}: input should be a valid boolean"),
        ({"seed": True}, f"seed=True {TYPED}: input should be a valid integer"),
        ({"device": "gpu"}, f"device=gpu {TYPED}: input should be 'auto', 'cpu' or 'cuda'"),
        ({"learner": "q_learnr"},
         f"learner=q_learnr {TYPED}: there is no such learner; did you mean q_learner?"),
        ({"mixer": "qmx"}, f"mixer=qmx {TYPED}: there is no such mixer; did you mean qmix?"),
        ({"mixer": "zzz"}, f"mixer=zzz {TYPED}: there is no such mixer"),
        ({"mixer": ["qmix"]},
         f"mixer=['qmix'] {TYPED}: there is no such mixer; did you mean qmix?"),
        ({"runner": "paralel"},
         f"runner=paralel {TYPED}: there is no such runner; did you mean parallel?"),
        ({"env_args": 3}, f"env_args {TYPED} must be keys with values"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_is_named(updates: dict[str, Any], message: str) -> None:
    assert mistake(**updates) == message


@pytest.mark.parametrize(
    ("env", "env_args", "message"),
    [
        ("smax", {"map_nam": "3m"}, f"map_nam {TYPED} is not known; did you mean map_name?"),
        ("smax", {"zzz": 1}, f"zzz {TYPED} is not known"),
        ("smax", {"map_name": 3}, f"map_name=3 {TYPED}: a value like 3s_vs_3z (str) is needed"),
        ("smax", {"walls_cause_death": 1},
         f"walls_cause_death=1 {TYPED}: a value like False (bool) is needed"),
        ("two_step", {"map_name": "3m"}, f"map_name {TYPED} is not known"),
    ],
)  # fmt: skip
def test_a_wrong_env_arg_is_named(env: str, env_args: dict[str, Any], message: str) -> None:
    assert mistake(env=env, env_args=env_args) == f"env_args.{message}"


@pytest.mark.parametrize(
    ("alg", "env", "message"),
    [
        ("qmixx", "two_step", "--config=qmixx: there is no src/config/algs/qmixx.yaml; "
         f"did you mean qmix?; there are: {ALGS}"),
        ("qmix", "smaxx", "--env-config=smaxx: there is no src/config/envs/smaxx.yaml; "
         f"did you mean smax?; there are: {ENVS}"),
        ("#", "smax", f"--config=#: there is no src/config/algs/#.yaml; there are: {ALGS}"),
        ("", "smax", f"--config=NAME is missing; there are: {ALGS}"),
        ("qmix", "", f"--env-config=NAME is missing; there are: {ENVS}"),
    ],
)  # fmt: skip
def test_a_wrong_name_of_a_file_is_named(alg: str, env: str, message: str) -> None:
    assert mistake(alg, env) == message


@pytest.mark.parametrize(
    ("alg", "updates", "message"),
    [
        ("bcq", {"critic_sees_state": True},
         f"critic_sees_state=True {TYPED}: the critic of BCQ-MA acts, so it must do without the "
         "state"),
        ("bcq", {"mac": "basic_mac"},
         "mac=basic_mac and learner=bcq_learner do not fit: bcq_mac acts with the networks of "
         "bcq_learner; use --config=bcq"),
        ("icq", {"mac": "bcq_mac"},
         "mac=bcq_mac and learner=icq_learner do not fit: bcq_mac acts with the networks of "
         "bcq_learner; use --config=bcq"),
        ("icq", {"mixer": "qmix"},
         f"mixer=qmix {TYPED}: input should be 'linear', 'normalised' or 'uniform'"),
        ("cql", {"cql_alpha": -1.0},
         f"cql_alpha=-1.0 {TYPED}: input should be greater than or equal to 0"),
        ("bcq", {"zeta": 1.0}, f"zeta=1.0 {TYPED}: input should be less than 1"),
        ("icq", {"max_weight": 0.5},
         f"max_weight=0.5 {TYPED}: input should be greater than or equal to 1"),
    ],
)  # fmt: skip
def test_what_an_offline_learner_refuses(alg: str, updates: dict[str, Any], message: str) -> None:
    assert mistake(alg, **updates) == message


def test_an_ablation_differs_from_its_base_by_what_its_file_says() -> None:
    base = load_settings("icq", "two_step", {}).values
    for path in sorted((CONFIG_DIR / "algs").glob("icq_*.yaml")):
        own = yaml.safe_load(path.read_text())
        if own.pop("base", "") != "icq":
            assert path.stem in CONTINUOUS
            continue
        assert load_settings(path.stem, "two_step", {}).values == base | own
        assert own["name"] == path.stem
        changed = [k for k, v in own.items() if k != "name" and base.get(k) != v]
        matched = {"icq_per_step_critic": {"target_update_interval"}}.get(path.stem, set())
        assert len(set(changed) - matched) == 1 or path.stem == "icq_official", changed


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("icqq", "there is no src/config/algs/icqq.yaml; did you mean icq?; there are: "),
        ("3", "there is no src/config/algs/3.yaml; there are: "),
        ("mine", "mine leads back to src/config/algs/mine.yaml"),
    ],
)
def test_a_wrong_base_is_named(own_config: Path, base: str, message: str) -> None:
    (own_config / "algs" / "mine.yaml").write_text(f"base: {base}\nname: mine\n")
    found = mistake("mine")
    assert found.startswith(f"src/config/algs/mine.yaml: base={base}")
    assert message in found


def test_a_mistake_in_a_base_names_its_file(own_config: Path) -> None:
    add(own_config / "algs" / "icq.yaml", "gama: 0.9")
    message = "gama (src/config/algs/icq.yaml) is not a key of icq_one_step; did you mean gamma?"
    assert mistake("icq_one_step") == message


def test_a_mistake_in_a_yaml_names_the_file(own_config: Path) -> None:
    path = own_config / "algs" / "qmix.yaml"
    add(path, "lr: 3e-4")
    message = "lr=3e-4 (src/config/algs/qmix.yaml): input should be a valid number"
    assert mistake() == message
    add(path, "lr: 0.001\ngama: 0.9")
    message = "gama (src/config/algs/qmix.yaml) is not a key of qmix; did you mean gamma?"
    assert mistake() == message
    path.write_text("- lr\n")
    assert mistake() == "src/config/algs/qmix.yaml must hold `key: value` lines"
    path.write_text("lr: [1\n")
    assert mistake().startswith("src/config/algs/qmix.yaml is not valid YAML: ")
    assert "\n" not in mistake()


@pytest.mark.parametrize("alg", available("algs"))
def test_no_default_hides_outside_the_yaml(own_config: Path, alg: str) -> None:
    settings = load_settings(alg, ENV_OF[alg], {})
    path = own_config / "algs" / f"{alg}.yaml"
    values = yaml.safe_load(path.read_text())
    while "base" in values:
        base = yaml.safe_load((path.parent / f"{values.pop('base')}.yaml").read_text())
        values = base | values
    own = type(settings.learner).model_fields.keys() if settings.learner else set()
    for key in own - RunConfig.model_fields.keys():
        path.write_text(yaml.safe_dump({k: v for k, v in values.items() if k != key}))
        expected = f"{key} has no value; set it in the algorithm's YAML"
        assert mistake(alg, ENV_OF[alg]) == expected


def test_default_yaml_has_exactly_the_keys_of_a_run() -> None:
    default = yaml.safe_load((CONFIG_DIR / "default.yaml").read_text())
    assert default.keys() == RunConfig.model_fields.keys()
    for model in (RunConfig, *CONFIGS.values()):
        assert all(field.is_required() for field in model.model_fields.values()), model


@pytest.mark.parametrize("env", available("envs"))
@pytest.mark.parametrize("alg", available("algs"))
def test_every_yaml_loads_or_is_for_the_other_kind_of_actions(alg: str, env: str) -> None:
    if (alg in CONTINUOUS) != (env in {"pendulum", "d4rl"}):
        kinds = ("continuous", "discrete") if alg in CONTINUOUS else ("discrete", "continuous")
        updates = {} if alg in CONTINUOUS else {"batch_of": "episodes"}
        found = mistake(alg, env, **updates)
        assert found.startswith(f"{alg} is for {kinds[0]} actions, ")
        assert f" has {kinds[1]} ones; use --config=" in found
        return
    settings = load_settings(alg, env, {})
    assert settings.run.name == alg
    assert settings.run.env
    assert check_settings(settings.values) == settings


def test_later_layers_win(own_config: Path) -> None:
    def batch_size(**updates: Any) -> int:
        return load_settings("bc", "two_step", updates).run.batch_size

    assert batch_size() == yaml.safe_load((own_config / "default.yaml").read_text())["batch_size"]
    add(own_config / "envs" / "two_step.yaml", "batch_size: 101")
    assert batch_size() == 101
    add(own_config / "algs" / "bc.yaml", "batch_size: 102")
    assert batch_size() == 102
    assert batch_size(batch_size=103) == 103


def test_env_args_are_merged_key_by_key() -> None:
    run = load_settings("qmix", "smax", {"env_args": {"map_name": "3m"}}).run
    assert run.env_args == {"map_name": "3m", "walls_cause_death": False}
    assert load_settings("qmix", "smax", {}).run.env_args["map_name"] == "3s_vs_3z"


def test_paths(tmp_path: Path) -> None:
    run = load_settings("icq", "smax", {"dataset_quality": "poor"}).run
    assert run.dataset_path == ROOT / "offline_data" / "smax" / "3s_vs_3z" / "poor.h5"
    assert run.results == ROOT / "results"
    given = {"dataset": str(tmp_path / "a.h5"), "local_results_path": str(tmp_path)}
    run = load_settings("icq", "smax", given).run
    assert (run.dataset_path, run.results) == (tmp_path / "a.h5", tmp_path)


def test_an_environment_that_does_not_fit_its_yaml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["env=smax", f"local_results_path={tmp_path / 'results'}"]
    code = main.main(["--config=qmix", "--env-config=two_step", "with", *words])
    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith("ConfigError: ")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_loading_settings_imports_nothing_heavy() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n"
        "from utils.config import load_settings\n"
        f"for alg, env in {ENV_OF}.items():\n"
        "    load_settings(alg, env, {})\n"
        "sys.stdout.write(' '.join({'torch', 'jax', 'h5py', 'sacred'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def run_program(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The program as a user starts it; it has to answer fast."""
    start = time.monotonic()
    command = [sys.executable, str(MAIN), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert time.monotonic() - start < FAST
    return done


def test_help_is_fast_and_names_what_there_is(tmp_path: Path) -> None:
    done = run_program("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(available("algs") + available("envs")) <= set(done.stdout.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["with", "lr=fast"], f"lr=fast {TYPED}: input should be a valid number"),
        (["with", "env_args.map_nam=3m"],
         f"env_args.map_nam {TYPED} is not known; did you mean map_name?"),
        (["lr=0.1"], "lr=0.1: write `with` before the first key=value"),
        (["with", "lr"], "lr: key=value is needed behind `with`"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_leaves_nothing(
    tmp_path: Path, words: list[str], message: str
) -> None:
    results = [f"local_results_path={tmp_path / 'results'}"] if "with" in words else []
    done = run_program("--config=qmix", "--env-config=smax", *words, *results, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"ConfigError: {message}\n"
    assert not list(tmp_path.iterdir())
