"""What runs found is kept as text, and read as what it was."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_storage_guard import findings
from exodus_storage_guard.findings import Finding
from exodus_storage_guard.model import Capacity, Total, Verdict

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FINDINGS = st.tuples(st.sampled_from(Verdict), st.text(min_size=1, max_size=50))


@given(st.none() | FINDINGS)
def test_a_finding_is_read_as_it_was_written(found: Finding | None) -> None:
    assert findings.read(findings.written(found)) == found


@given(st.text())
def test_what_is_no_finding_says_nothing_and_is_no_error(text: str) -> None:
    found = findings.read(text)

    assert found is None or text == f"{found[0].value} {found[1]}"


def test_only_what_is_not_right_is_given() -> None:
    settled = {
        findings.SWEEP: findings.written((Verdict.CRITICAL, "it failed")),
        findings.ARCHIVE: "",
        "clocks": "warning: another's",
    }

    assert list(findings.found(settled)) == [(Verdict.CRITICAL, "it failed")]
    assert findings.has_failed(settled)
    assert not findings.has_failed({findings.SWEEP: findings.written((Verdict.WARNING, "in part"))})
    assert not findings.has_failed({})


@pytest.mark.parametrize(
    ("total", "free", "files", "verdict"),
    [
        (1000, 500, None, None),
        (1000, 500, 16, None),
        (1000, 500, 15, Verdict.CRITICAL),
        (1000, 10, None, Verdict.CRITICAL),
        (1000, 11, None, Verdict.WARNING),
        (1000, 20, None, None),
        (1000, 0, None, Verdict.CRITICAL),
    ],
)
def test_an_archive_is_judged_by_whether_one_more_object_goes_in(
    total: int, free: int, files: int | None, verdict: Verdict | None
) -> None:
    found = findings.of_archive(Capacity("filesystem", total, total - free, free, NOW, files), Total(5, 50))

    assert (found and found[0]) == verdict
