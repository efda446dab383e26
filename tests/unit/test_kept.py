"""After a reload that changed nothing: what newer nginx keeps is named, with what to do about it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from exodus_certbot import kept
from exodus_certbot.decide import judge
from exodus_certbot.model import CertificateSource, Observation
from tests.unit.test_decide import NOW, certificate, expecting, pair_of

SOURCE = CertificateSource("/live/fullchain.pem", "/live/privkey.pem")
OLD, OLDER, NEW = certificate("old"), certificate("older", left=timedelta(days=9)), certificate("new")
STALE, MENDED, OTHER = (
    judge(expecting(pair_of(NEW)), Observation(served), NOW) for served in (OLD, NEW, OLDER)
)  # fmt: skip


def test_what_is_served_as_before_although_the_disk_has_another_is_found() -> None:
    assert kept.unchanged([STALE], [STALE]) == (SOURCE,)


@pytest.mark.parametrize("after", [MENDED, OTHER], ids=["mended", "another one"])
def test_what_changed_was_not_kept(after: object) -> None:
    assert kept.unchanged([STALE], [after]) == ()  # type: ignore[list-item]


@pytest.mark.parametrize("version", [(1, 27, 4), (1, 28, 0), (1, 31, 5), ()])
def test_an_nginx_that_keeps_files_is_explained(version: tuple[int, ...]) -> None:
    said = kept.explained([STALE], [STALE], version)
    assert "inode and time (in whole seconds)" in said
    assert said.endswith("touch /live/fullchain.pem /live/privkey.pem; then: exodus-certbot reconcile")


@pytest.mark.parametrize("version", [(1, 22, 1), (1, 26, 3), (1, 27, 3)])
def test_an_nginx_that_reads_files_anew_has_another_reason(version: tuple[int, ...]) -> None:
    assert kept.explained([STALE], [STALE], version) == ""


def test_what_was_mended_needs_no_explanation_and_text_is_never_shown() -> None:
    assert kept.explained([STALE], [MENDED], ()) == ""
    secret = replace(pair_of(NEW), source=CertificateSource("data:CERTIFICATE", "data:SECRET"))
    shown = judge(expecting(secret), Observation(OLD), NOW)
    assert kept.explained([shown], [shown], ()) == ""
