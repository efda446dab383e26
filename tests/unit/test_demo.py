"""What `make demo` shows is what the commands printed, and it needs nothing that only tests need."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.demo.storage_outage import Stage
from tests.demo.telling import Teller
from tests.parts.command import ROOT
from tests.parts.guard import Guarded

_WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")

sys.meta_path.insert(0, Absent())
sys.path[:0] = [{root!r}, {root!r} + "/hooks"]
import tests.demo.{story}
"""
OF_TESTS = {"pytest", "hypothesis", "psycopg", "minio", "django", "celery", "selenium", "jsonschema", "yaml"}
OF_TESTS |= {"crossplane", "greenlet", "starlette", "uvicorn", "prometheus_client"}


def test_a_long_line_is_shown_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = f"{'x' * 300} above the flood watermark"
    stage = Stage(Teller(), Guarded(tmp_path).write(), {})

    stage.type(f"echo {said}")

    assert f"     {said}\n" in capsys.readouterr().out


@pytest.mark.parametrize("story", ["certificate_outage", "storage_outage"])
def test_a_story_needs_nothing_that_only_tests_need(story: str) -> None:
    program = _WITHOUT.format(absent=OF_TESTS, root=str(ROOT), story=story)

    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
