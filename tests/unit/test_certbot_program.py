"""Which Python runs a certbot is read from its first lines."""

import os
import sys
from pathlib import Path

import pytest

from exodus_certbot.certbot import program as certbot_program

PYTHON = os.path.realpath(sys.executable)


@pytest.mark.parametrize(
    ("first_lines", "python"),
    [
        (f"#!{PYTHON}\n", PYTHON),
        (f"#! {PYTHON} -E\n", PYTHON),
        (f"#!/bin/sh\n'''exec' {PYTHON} \"$0\" \"$@\"\n' '''\n", PYTHON),
        (f'#!/bin/sh\n\'\'\'exec\' "{PYTHON}" "$0" "$@"\n', PYTHON),
        ("#!/bin/sh\nexec docker run certbot\n", None),
        ("#!/nonexistent/python3\n", None),
        ("\x7fELF", None),
        ("", None),
        ("#!\n", None),
    ],
)
def test_the_interpreter_is_recognised_or_honestly_unknown(
    first_lines: str, python: str | None, tmp_path: Path
) -> None:
    script = tmp_path / "certbot"
    script.write_text(first_lines)
    script.chmod(0o755)

    found = certbot_program.find_certbot({"PATH": str(tmp_path)})

    assert found is not None
    assert (found.path, found.python) == (str(script), python)


def test_env_is_followed_to_what_is_on_path(tmp_path: Path) -> None:
    script = tmp_path / "certbot"
    script.write_text("#!/usr/bin/env python3\n")
    script.chmod(0o755)

    found = certbot_program.find_certbot({"PATH": str(tmp_path)})

    assert found is not None
    assert found.python is not None
    assert Path(found.python).name == "python3"


def test_a_python_that_hangs_or_is_gone_is_a_reason_and_no_crash(tmp_path: Path) -> None:
    assert "nonexistent" in certbot_program.why_not_loadable("/nonexistent/python", {})
