"""Who may wait for whom: a lineage that got worse, and another one that ends or has ended."""

from dataclasses import replace
from datetime import timedelta

import pytest

from exodus_certbot import weighing
from exodus_certbot.decide import Judged
from exodus_certbot.faults import Fault
from exodus_certbot.model import Certificate
from tests.unit.test_decide import NOW, SECOND, certificate, judged
from tests.unit.test_worse import lineage_pair

BAD, GOOD = lineage_pair("bad"), lineage_pair("good")
WORSE = Fault(BAD, "the certificate is worse", "renew it")
AT_LAST = weighing.LAST_CHANCE


def waiting(new: Certificate, served: Certificate | None) -> Judged:
    item = judged(new, served)
    return replace(item, expectation=replace(item.expectation, pair=replace(GOOD, certificate=new)))


def weighed(item: Judged, *found: Fault) -> weighing.Weighed:
    return weighing.weighed(found, [item], [item], NOW)


@pytest.mark.parametrize(
    ("left", "is_loaded"), [(-SECOND, True), (timedelta(), True), (AT_LAST, True), (AT_LAST + SECOND, False)]
)
def test_what_ends_before_anybody_looks_again_does_not_wait(left: timedelta, is_loaded: bool) -> None:
    found = weighed(waiting(certificate("new"), certificate("old", left=left)), WORSE)

    assert (bool(found.in_spite_of), bool(found.against)) == (is_loaded, not is_loaded)


def test_both_are_named_and_what_to_do_is_said() -> None:
    found = weighed(waiting(certificate("new"), certificate("old", left=-timedelta(hours=3))), WORSE)

    assert found.in_spite_of == (
        "loaded in spite of it: the certificate is worse; good could not wait (expired 3 h 0 min ago), "
        "and a reload loads every certificate there is; what next: renew it"
    )


def test_where_nothing_is_worse_there_is_nothing_to_weigh() -> None:
    assert weighed(waiting(certificate("new"), certificate("old", left=-SECOND))) == weighing.Weighed()


def test_what_nginx_would_not_load_outweighs_everything() -> None:
    late = waiting(certificate("new"), certificate("old", left=-SECOND))
    assert weighed(late, WORSE, replace(WORSE, is_loadable=False)).in_spite_of == ""


@pytest.mark.parametrize(
    ("new", "served"),
    [
        (certificate("new", left=-SECOND), certificate("old", left=-2 * SECOND)),
        (certificate("new", days=1, left=timedelta(days=2)), certificate("old", left=-SECOND)),
        (certificate("new", left=SECOND), certificate("old", left=2 * SECOND)),
        (certificate("same", left=SECOND), certificate("same", left=SECOND)),
        (certificate("new"), None),
    ],
    ids=["ended as well", "not yet valid", "ends sooner", "the same", "nothing served"],
)
def test_what_a_reload_would_not_mend_is_no_reason(new: Certificate, served: Certificate | None) -> None:
    assert weighed(waiting(new, served), WORSE).in_spite_of == ""


def test_a_lineage_that_got_worse_itself_is_no_reason() -> None:
    late = waiting(certificate("new"), certificate("old", left=-SECOND))
    pair = late.expectation.pair
    assert pair is not None
    assert weighed(late, replace(WORSE, pair=pair)).in_spite_of == ""
