"""What `make check` looks at in the documentation is all there is: links that name their target where they stand."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BY_REFERENCE = re.compile(r"^\s*\[[^\]]+\]:\s|\]\[[^\]]*\]", re.MULTILINE)
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def by_reference(text: str) -> list[str]:
    return _BY_REFERENCE.findall(_CODE.sub("", text))


def test_no_document_has_links_by_reference_which_the_check_does_not_follow() -> None:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    found = {name: by_reference((ROOT / name).read_text()) for name in listed.stdout.split()}

    assert len(found) > 20
    assert {name: links for name, links in found.items() if links} == {}


def test_a_link_by_reference_is_found() -> None:
    assert by_reference("see [this][there]\n\n[there]: docs/nope.md\n") != []
