"""install_sc2.sh on small archives."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import re
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from scripts import ROOT, environment, fake

SCRIPT = ROOT / "docker" / "install_sc2.sh"
WORD = "iagreetotheeula"
BINARY = "Versions/Base75689/SC2_x64"
MISSING = [tool for tool in ("bash", "curl", "unzip", "sha256sum") if not shutil.which(tool)]

needs_its_tools = pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)} here")


def sha256(file: Path) -> str:
    """As sha256sum prints it."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def write_zip(file: Path, contents: dict[str, bytes]) -> None:
    """A zip archive that is not compressed."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


@dataclass
class Place:
    """A folder with two archives, and a place for the game."""

    folder: Path
    game: Path = field(init=False)
    maps: Path = field(init=False)
    sc2path: Path = field(init=False)

    def __post_init__(self) -> None:
        self.game, self.maps = self.folder / "game.zip", self.folder / "maps.zip"
        self.sc2path = self.folder / "games of mine" / "StarCraftII"
        binary = f"StarCraftII/{BINARY}"
        ladder = "StarCraftII/Maps/Ladder/a.SC2Map"
        write_zip(self.game, {binary: os.urandom(200_000), ladder: b"map"})
        write_zip(self.maps, {f"SMAC_Maps/{name}.SC2Map": b"map" for name in ("3m", "2s3z")})

    def install(self, *options: str, **values: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        urls = {"SC2_URL": self.game.as_uri(), "SMAC_MAPS_URL": self.maps.as_uri()}
        env = environment(SC2PATH=str(self.sc2path), SC2_RETRY_SECONDS="0", **(urls | values))
        return subprocess.run(
            ["bash", str(SCRIPT), *options], env=env, capture_output=True, text=True, check=False
        )

    @property
    def beside(self) -> set[str]:
        """What lies beside the game."""
        return {p.name for p in self.sc2path.parent.iterdir()} - {"StarCraftII"}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Of this test alone."""
    return Place(tmp_path)


@needs_its_tools
def test_the_game_and_the_maps_end_where_smac_looks_for_them(place: Place) -> None:
    done = place.install("--accept-eula", SC2_SHA256=sha256(place.game))
    assert done.returncode == 0, done.stderr
    assert os.access(place.sc2path / BINARY, os.X_OK)
    assert {p.name for p in (place.sc2path / "Maps").iterdir()} == {"Ladder", "SMAC_Maps"}
    maps = {p.name for p in (place.sc2path / "Maps" / "SMAC_Maps").iterdir()}
    assert maps == {"3m.SC2Map", "2s3z.SC2Map"}
    assert place.beside == set()
    quoted = str(place.sc2path).replace(" ", r"\ ")
    assert done.stdout.splitlines()[-1] == f"export SC2PATH={quoted}"


@needs_its_tools
def test_sums_are_printed_and_kept_where_none_were_given(place: Place) -> None:
    done = place.install(ACCEPT_SC2_EULA=WORD)
    sums = sha256(place.game), sha256(place.maps)
    notices = [line for line in done.stdout.splitlines() if line.startswith("NOT CHECKED")]
    assert [s in line for s, line in zip(sums, notices, strict=True)] == [True, True]
    kept = (place.sc2path / "SHA256SUMS").read_text()
    assert kept == f"{sums[0]}  SC2.4.10.zip\n{sums[1]}  SMAC_Maps.zip\n"


@needs_its_tools
@pytest.mark.parametrize("word", ["", "yes"])
def test_the_licence_must_be_accepted(place: Place, word: str) -> None:
    refused = place.install(ACCEPT_SC2_EULA=word)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "AI and Machine Learning License" in refused.stderr
    assert "--accept-eula" in refused.stderr
    assert not place.sc2path.exists()
    assert place.beside == set()


@needs_its_tools
def test_a_second_run_downloads_nothing(place: Place) -> None:
    assert place.install("--accept-eula").returncode == 0
    place.game.unlink()
    place.maps.unlink()
    before = {p: p.stat().st_mtime_ns for p in place.sc2path.rglob("*")}
    again = place.install()
    assert again.returncode == 0, again.stderr
    assert {p: p.stat().st_mtime_ns for p in place.sc2path.rglob("*")} == before
    assert "already (SC2.4.10.zip)" in again.stdout


@needs_its_tools
def test_a_second_run_tells_another_version_or_sum(place: Place) -> None:
    assert place.install("--accept-eula").returncode == 0
    other = place.install(SC2_VERSION="4.6.2.69232")
    assert (other.returncode, other.stderr.count("\n")) == (1, 1)
    assert "holds SC2.4.10.zip, not SC2.4.6.2.69232.zip" in other.stderr
    assert "not SC2_SHA256=ab" in place.install(SC2_SHA256="ab").stderr


@needs_its_tools
@pytest.mark.parametrize("which", ["SC2_SHA256", "SMAC_MAPS_SHA256"])
def test_a_wrong_checksum_installs_nothing_of_that_archive(place: Place, which: str) -> None:
    wrong = place.install("--accept-eula", **{which: "0" * 64})
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert f"not {which}={'0' * 64}" in wrong.stderr
    assert place.sc2path.exists() == (which == "SMAC_MAPS_SHA256")
    assert not (place.sc2path / "Maps" / "SMAC_Maps").exists()
    right = {"SC2_SHA256": sha256(place.game), "SMAC_MAPS_SHA256": sha256(place.maps)}
    assert place.install("--accept-eula", **right).returncode == 0


@needs_its_tools
def test_a_download_that_was_cut_off_goes_on_where_it_stopped(place: Place) -> None:
    place.sc2path.parent.mkdir(parents=True)
    part = place.sc2path.parent / "SC2.4.10.zip.part"
    part.write_bytes(b"x" * 100_000)  # not the archive's: only where it is kept is the sum wrong
    going_on = place.install("--accept-eula", SC2_SHA256=sha256(place.game))
    assert "has the sha256" in going_on.stderr
    (place.sc2path.parent / "SC2.4.10.zip").unlink()
    part.write_bytes(place.game.read_bytes()[:100_000])
    assert place.install("--accept-eula", SC2_SHA256=sha256(place.game)).returncode == 0


class Unreliable(http.server.SimpleHTTPRequestHandler):
    """Sends 50,000 bytes, then hangs up; knows ranges."""

    asked: list[str]

    def do_GET(self) -> None:
        """From where the client has it."""
        file = Path(self.translate_path(self.path))
        begin = int(re.findall(r"\d+", self.headers.get("Range", "0"))[0])
        self.asked.append(f"{file.name} from {begin}")
        if not file.exists():
            self.send_error(404)
            return
        data = file.read_bytes()
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(data) - begin))
        self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[begin : begin + 50_000])

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """Its address, and what it was asked for; it has 127.0.0.1 alone."""
    asked: list[str] = []
    handler = type("Handler", (Unreliable,), {"asked": asked})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path))
    ) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}", asked
        running.shutdown()


@needs_its_tools
def test_a_server_that_hangs_up_is_asked_for_the_rest(
    place: Place, server: tuple[str, list[str]]
) -> None:
    address, asked = server
    values = {"SC2_URL": f"{address}/game.zip", "SC2_SHA256": sha256(place.game)}
    done = place.install("--accept-eula", **values)
    assert done.returncode == 0, done.stderr
    assert asked == [f"game.zip from {begin}" for begin in (0, 50_000, 100_000, 150_000, 200_000)]


@needs_its_tools
def test_five_tries_are_made_and_the_part_is_kept(
    place: Place, server: tuple[str, list[str]]
) -> None:
    address, asked = server
    (place.folder / "large.zip").write_bytes(os.urandom(300_000))
    failed = place.install("--accept-eula", SC2_URL=f"{address}/large.zip")
    assert failed.returncode == 1
    assert "5 tries failed" in failed.stderr.splitlines()[-1]
    assert place.beside == {"SC2.4.10.zip.part"}
    assert len(asked) == 5


@needs_its_tools
def test_what_is_not_there_is_asked_for_once(place: Place, server: tuple[str, list[str]]) -> None:
    address, asked = server
    for url, why in ((f"{address}/no.zip", "22, HTTP 404"), ("file:///no.zip", "37, HTTP 000")):
        missing = place.install("--accept-eula", SC2_URL=url)
        assert missing.returncode == 1
        assert f"{url} cannot be downloaded (curl's exit code {why})" in missing.stderr
    assert asked == ["no.zip from 0"]


@needs_its_tools
def test_what_an_interrupted_run_unpacked_is_not_taken_for_the_game(place: Place) -> None:
    half = place.sc2path.parent / "StarCraftII.unpacking" / "StarCraftII" / BINARY
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    assert place.install("--accept-eula").returncode == 0
    assert (place.sc2path / BINARY).stat().st_size == 200_000
    assert place.beside == set()


@needs_its_tools
def test_a_folder_with_something_else_in_it_is_left_alone(place: Place) -> None:
    (place.sc2path / "mine").mkdir(parents=True)
    refused = place.install("--accept-eula")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "holds no game" in refused.stderr
    assert [p.name for p in place.sc2path.iterdir()] == ["mine"]


@needs_its_tools
def test_a_game_that_somebody_else_installed_gets_the_maps_alone(place: Place) -> None:
    binary = place.sc2path / BINARY
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"theirs")
    done = place.install(SC2_URL="file:///nowhere")
    assert done.returncode == 0, done.stderr
    assert binary.read_bytes() == b"theirs"
    assert (place.sc2path / "Maps" / "SMAC_Maps" / "3m.SC2Map").exists()


@needs_its_tools
@pytest.mark.parametrize(
    ("archive", "contents", "message"),
    [
        ("game", None, "is no zip archive"),
        ("game", {"StarCraftII/readme": b""}, "has no StarCraftII/Versions/Base*/SC2_x64"),
        ("maps", {"3m.SC2Map": b""}, "has no SMAC_Maps/*.SC2Map"),
    ],
)
def test_a_wrong_archive_is_told(
    place: Place, archive: str, contents: dict[str, bytes] | None, message: str
) -> None:
    file: Path = getattr(place, archive)
    if contents is None:
        file.write_bytes(b"<html>not found</html>")
    else:
        write_zip(file, contents)
    failed = place.install("--accept-eula")
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert message in failed.stderr
    assert not [p for p in place.folder.rglob("*.unpacking*")]


@needs_its_tools
def test_a_full_disk_is_told_before_anything_is_written(place: Place, tmp_path: Path) -> None:
    df = "echo head; echo 'disk 100 99 1 99% /'"  # 1 KiB is free
    path = f"{fake(tmp_path, 'df', df)}:{os.environ['PATH']}"
    full = place.install("--accept-eula", PATH=path)
    assert (full.returncode, full.stderr.count("\n")) == (1, 1)
    assert "no room in" in full.stderr
    assert place.beside == set()


@needs_its_tools
def test_the_password_of_blizzards_archives_is_the_word(place: Place) -> None:
    if not shutil.which("zip"):
        pytest.skip("no zip here to make an archive with a password")
    with zipfile.ZipFile(place.game) as archive:
        archive.extractall(place.folder / "unpacked")
    place.game.unlink()
    command = ["zip", "-q", "-r", "-P", WORD, str(place.game), "StarCraftII"]
    subprocess.run(command, cwd=place.folder / "unpacked", check=True)
    assert place.install("--accept-eula").returncode == 0
    binary = place.folder / "unpacked" / "StarCraftII" / BINARY
    assert (place.sc2path / BINARY).read_bytes() == binary.read_bytes()


def test_an_unknown_option_is_told_and_the_help_names_every_variable() -> None:
    run = functools.partial(subprocess.run, capture_output=True, text=True, check=False)
    unknown = run(["bash", str(SCRIPT), "--accept"], env=environment())
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    words = run(["bash", str(SCRIPT), "--help"], env=environment()).stdout
    read = set(re.findall(r"\$\{((?:SC2|SMAC|ACCEPT)_?[A-Z0-9_]*):?-", SCRIPT.read_text()))
    assert len(read) == 10
    assert [name for name in read if name not in words] == []
