"""What a message may repeat of a command line."""

from __future__ import annotations

import pytest

from utils.errors import exit_code_of, without_password

SAID = {
    "--foo -m u:sec@h:27017:db: not understood": "--foo -m ***@h:27017:db: not understood",
    "-m u:s/e:c?r#e=t@h:1:db x": "-m ***@h:1:db x",
    "-mu:s@ec/ret@h:1:db": "***@h:1:db",
    "--mongo_db=u:s=e/c@h:1:db": "--mongo_db=***@h:1:db",
    "mongodb://u:s/e?c#r:t@h/db, x": "mongodb://***@h/db, x",
    "mongodb+srv://u:se cret@h/db": "mongodb+srv://***@h/db",
    "lr=0.5: see --help": "lr=0.5: see --help",
    "/home/me@work/a.h5: is missing": "/home/me@work/a.h5: is missing",
}


@pytest.mark.parametrize("text", SAID)
def test_what_stands_before_an_at_is_not_said_where_it_may_be_a_password(text: str) -> None:
    assert without_password(text) == SAID[text]


def test_the_operating_systems_errors_say_none_either(capsys: pytest.CaptureFixture[str]) -> None:
    def program() -> int:
        raise FileNotFoundError(2, "No such file or directory", "u:sec/ret@h:1:db")

    assert exit_code_of(program) == 1
    assert capsys.readouterr().err == "FileNotFoundError: ***@h:1:db: No such file or directory\n"
