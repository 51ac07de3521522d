"""The Docker part without Docker: run.sh and build.sh before a `docker` that prints its arguments,
and what the Dockerfile may name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from scripts import ROOT, environment, fake

DOCKER = """
[ "$1 $2" = "image inspect" ] && exit "${NO_IMAGE:-0}"
[ "$1" = version ] && { echo 'Cannot connect' >&2; exit "${NO_SERVER:-0}"; }
printf '%s\\n' "$@"
"""


def call(script: str, *words: str, **values: str) -> subprocess.CompletedProcess[str]:
    """A script of the project."""
    return subprocess.run(
        ["bash", str(ROOT / script), *words],
        env=environment(**values),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def path_with_docker(tmp_path: Path) -> str:
    """Its `docker` prints its arguments, a line each."""
    return f"{fake(tmp_path, 'docker', DOCKER)}:{os.environ['PATH']}"


COMMAND = ("python", "src/main.py", "--config=icq", "with", "label=two words")


@pytest.mark.parametrize(
    ("gpu", "options"),
    [
        ("cpu", []),
        ("all", ["--gpus", "all"]),
        ("0", ["--gpus", '"device=0"']),
        ("1,3", ["--gpus", '"device=1,3"']),
    ],
)
def test_run_sh_docker_runs_the_command_as_the_caller(
    path_with_docker: str, gpu: str, options: list[str]
) -> None:
    done = call("run.sh", "docker", gpu, *COMMAND, PATH=path_with_docker, USER="An One")
    run, _, name, *given = done.stdout.splitlines()
    assert run == "run"
    assert re.fullmatch(rf"An-One_icq_gpu_{gpu.replace(',', '-')}_[0-9_-]+", name)
    user = f"{os.getuid()}:{os.getgid()}"
    common = ["--rm", "--init", "--user", user, "--volume", f"{ROOT}:/icq-marl"]
    expected = [*common, "--workdir", "/icq-marl", *options, "icq-marl:latest", *COMMAND]
    assert given == expected
    assert done.stderr == f"Container {name}\n"


def test_run_sh_docker_hands_on_more_options_and_another_image(path_with_docker: str) -> None:
    more = {"DOCKER_OPTIONS": "--network icq-marl_default", "ICQ_IMAGE": "mine:1"}
    done = call("run.sh", "docker", "cpu", "true", PATH=path_with_docker, **more)
    assert done.stdout.splitlines()[-4:] == ["--network", "icq-marl_default", "mine:1", "true"]


def test_run_sh_docker_hands_the_database_on_but_not_its_password(path_with_docker: str) -> None:
    secret = {"ICQ_DATABASE": "mongodb://me:secret@h/db"}
    done = call("run.sh", "docker", "cpu", "true", PATH=path_with_docker, **secret)
    assert done.stdout.splitlines()[-4:] == ["--env", "ICQ_DATABASE", "icq-marl:latest", "true"]
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "values", "code", "message"),
    [
        ((), {}, 2, "GPU is an index"),
        (("0",), {}, 2, "GPU is an index"),
        (("python", "src/main.py"), {}, 2, "GPU is an index"),
        (("cpu", "true"), {"NO_IMAGE": "1"}, 1, "docker/build.sh"),
        (("cpu", "true"), {"NO_SERVER": "1"}, 1, "run.sh docker: Cannot connect"),
    ],
)
def test_run_sh_docker_says_in_one_line_what_is_missing(
    path_with_docker: str, words: tuple[str, ...], values: dict[str, str], code: int, message: str
) -> None:
    failed = call("run.sh", "docker", *words, PATH=path_with_docker, **values)
    assert (failed.returncode, failed.stderr.count("\n"), failed.stdout) == (code, 1, "")
    assert message in failed.stderr


def without_docker(folder: Path) -> str:
    """A PATH with the programs that the scripts need, and no docker."""
    programs = folder / "few"
    programs.mkdir()
    for name in ("bash", "dirname", "id", "date"):
        (programs / name).symlink_to(shutil.which(name) or name)
    return str(programs)


@pytest.mark.parametrize("words", [("run.sh", "docker", "cpu", "true"), ("docker/build.sh",)])
def test_without_docker_one_line_says_so(tmp_path: Path, words: tuple[str, ...]) -> None:
    failed = call(*words, PATH=without_docker(tmp_path))
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert "needs Docker, which is not here" in failed.stderr


def test_run_sh_prints_all_of_its_help() -> None:
    head = re.findall(r"^# (.*)$", (ROOT / "run.sh").read_text().split("set -e")[0], re.MULTILINE)
    printed = call("run.sh", "help")
    assert (printed.returncode, printed.stdout.splitlines()) == (2, head)


def arguments_of_the_dockerfile() -> set[str]:
    """ARG names."""
    return set(re.findall(r"^ARG (\w+)", (ROOT / "docker/Dockerfile").read_text(), re.MULTILINE))


def test_build_sh_hands_on_every_argument_and_option(path_with_docker: str) -> None:
    values = {name: f"a {name}" for name in arguments_of_the_dockerfile()}
    assert len(values) == 11
    done = call("docker/build.sh", "--no-cache", PATH=path_with_docker, **values)
    words = done.stdout.splitlines()
    assert words[:5] == ["build", "--file", "docker/Dockerfile", "--tag", "icq-marl:latest"]
    assert set(words[6:-2:2]) == {f"{name}={value}" for name, value in values.items()}
    assert words[-2:] == ["--no-cache", "."]


def test_build_sh_hands_on_what_git_says_of_the_code(path_with_docker: str) -> None:
    describe = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    commit = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    words = call("docker/build.sh", PATH=path_with_docker).stdout.splitlines()
    given = [word for word in words if word.startswith("COMMIT=")]
    assert given == ([f"COMMIT={commit.strip()}"] if commit else [])
    text = (ROOT / "docker/Dockerfile").read_text()
    assert "ENV ICQ_COMMIT=$COMMIT\n" in text
    assert text.index("ARG COMMIT") > text.rindex("COPY "), "another commit changes no layer"


def test_the_dockerfile_copies_what_is_there_and_not_ignored() -> None:
    text = (ROOT / "docker/Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(?:--\S+ )*(\S+)", text, re.MULTILINE)
    rules = (ROOT / "docker/Dockerfile.dockerignore").read_text().splitlines()
    assert len(copied) == 5
    for path in copied:
        assert (ROOT / path).exists()
        assert f"!{path}" in rules


def test_services_are_of_a_fixed_version_and_for_this_machine_alone() -> None:
    services = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    assert set(services) == {"mongo", "omniboard", "experiment"}
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        version = service["image"].split(":")[1]
        assert name == "experiment" or re.fullmatch(r"\d+\.\d+\.\d+", version)
