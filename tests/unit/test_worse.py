"""What must not be loaded: what is worse than what is served, and never what is as it was."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from exodus_certbot import faults, worse
from exodus_certbot.chain import Chain, Link, Order
from exodus_certbot.decide import judge
from exodus_certbot.model import Certificate, CertificateSource, KeyType, Observation, Pair, Suites
from exodus_certbot.worse import Compared
from tests.unit.test_decide import NAME, NOW, SECOND, certificate, expecting, judged, pair_of

GOOD = Link("CN=Good", NOW - timedelta(days=300), NOW + timedelta(days=300))
OLD = Link("CN=Old", NOW - timedelta(days=300), NOW - SECOND)
LATER = Link("CN=Later", NOW + SECOND, NOW + timedelta(days=300))
ROOT = Link("CN=Root", NOW - timedelta(days=9000), NOW - SECOND, self_issued=True)
BOTH = frozenset({("TLSv1.2", KeyType.RSA), ("TLSv1.2", KeyType.ECDSA)})


def chain(*rest: Link, order: Order = Order.IN_ORDER) -> Chain:
    return Chain((GOOD, *rest), order, "is out of order" if order else "")


def compared(
    new: Certificate,
    served: Certificate | None,
    *,
    on_disk: Chain | None = None,
    sent: Chain | None = None,
    name: str = NAME,
    key_fault: str = "",
    lacks: str = "",
) -> Compared:
    item = judged(new, served, name=name)
    assert item.expectation.pair is not None
    return Compared(item.expectation.pair, (item,), key_fault, lacks, on_disk, sent)


def blocked(one: Compared, can: frozenset[tuple[str, KeyType]] | None = BOTH) -> tuple[str, ...]:
    return tuple(fault.what for fault in worse.faults([one], {Suites(): can}, NOW))


def changed(on_disk: Chain | None, sent: Chain | None, *, lacks: str = "") -> tuple[str, ...]:
    return blocked(compared(certificate("new"), certificate("old"), on_disk=on_disk, sent=sent, lacks=lacks))


def test_a_certificate_that_clients_would_refuse_replaces_none_that_they_accept() -> None:
    assert "expired on" in blocked(compared(certificate("new", left=-SECOND), certificate("old")))[0]
    later = certificate("new", days=90, left=timedelta(days=91))
    assert "is not valid before" in blocked(compared(later, certificate("old")))[0]


def test_an_expired_certificate_may_be_replaced_by_another_expired_one() -> None:
    assert blocked(compared(certificate("new", left=-SECOND), certificate("old", left=-SECOND))) == ()


def test_a_name_that_would_be_lost_blocks_and_one_that_neither_covers_does_not() -> None:
    other = certificate("new", names=("other.example",))
    assert f"does not cover {NAME}" in blocked(compared(other, certificate("old")))[0]
    assert blocked(compared(other, certificate("old", names=("third.example",)))) == ()


def test_nothing_of_a_certificate_that_has_ended_can_be_lost() -> None:
    ended, other = certificate("old", left=-SECOND), certificate("new", names=("other.example",))
    assert blocked(compared(other, ended)) == ()
    for on_disk, lacks in [(chain(GOOD, order=Order.BROKEN), ""), (chain(), "lacks one")]:
        assert blocked(compared(certificate("new"), ended, on_disk=on_disk, sent=chain(GOOD), lacks=lacks)) == ()


def test_what_a_reload_would_not_change_blocks_nothing() -> None:
    expired = certificate(left=-SECOND)
    assert blocked(compared(expired, expired, key_fault="the key is missing")) == ()


def test_a_key_that_does_not_fit_blocks_its_own_certificate() -> None:
    assert blocked(compared(certificate("new"), certificate("old"), key_fault="no key")) == ("no key",)


def test_a_key_type_that_no_suite_can_show_is_worse_than_one_that_is_shown() -> None:
    rsa = certificate("old", key_type=KeyType.RSA)
    one = compared(certificate("new"), rsa)

    (fault,) = worse.faults([one], {Suites(): frozenset({("TLSv1.2", KeyType.RSA)})}, NOW)

    assert "has an ecdsa key, and an rsa one is served" in fault.what
    assert f"ssl_ciphers of {NAME} leaves no suite for ecdsa keys with TLSv1.2" in fault.what
    assert blocked(one) == ()


def test_a_change_of_the_key_type_waits_where_nobody_knows_what_the_listener_allows() -> None:
    changed_type = compared(certificate("new"), certificate("old", key_type=KeyType.RSA))

    assert f"ssl_ciphers of {NAME} leaves any handshake for ecdsa keys cannot be told" in blocked(changed_type, None)[0]
    assert blocked(compared(certificate("new"), certificate("old")), None) == ()


def test_a_kind_of_key_that_the_server_would_show_to_nobody_any_more_is_a_loss() -> None:
    pair = pair_of(certificate("new"))

    def lost(served: Certificate, can: frozenset[tuple[str, KeyType]] | None = BOTH) -> tuple[str, ...]:
        gone = replace(expecting(pair), force_key_type=served.key_type, gone=True)
        return blocked(Compared(pair, (judge(gone, Observation(served), NOW),)), can)

    rsa = certificate("old", key_type=KeyType.RSA)
    assert f"no file of {NAME} has an rsa one any more: clients that need rsa" in lost(rsa)[0]
    assert lost(rsa, None) != ()
    assert lost(rsa, frozenset({("TLSv1.2", KeyType.ECDSA)})) == (), "it is configured away"
    assert lost(certificate("old", key_type=KeyType.RSA, left=-SECOND)) == (), "nobody accepts it any more"


def test_a_key_type_is_not_worse_where_the_served_one_could_not_be_shown_either() -> None:
    neither = frozenset({("TLSv1.3", kind) for kind in KeyType})
    assert blocked(compared(certificate("new"), certificate("old", key_type=KeyType.RSA)), neither) == ()


def test_a_chain_in_a_worse_order_than_the_one_that_is_sent_blocks() -> None:
    mixed, broken = chain(GOOD, order=Order.MIXED), chain(GOOD, order=Order.BROKEN)
    assert changed(mixed, chain(GOOD)) != ()
    assert changed(broken, mixed) != ()
    assert changed(mixed, None) != ()


def test_a_chain_in_an_order_as_odd_as_the_one_that_is_sent_blocks_nothing() -> None:
    mixed, broken = chain(GOOD, order=Order.MIXED), chain(GOOD, order=Order.BROKEN)
    assert changed(mixed, mixed) == changed(mixed, broken) == changed(broken, broken) == ()
    assert changed(chain(GOOD), mixed) == changed(None, mixed) == ()


def test_an_intermediate_that_is_not_valid_blocks_in_place_of_a_good_one() -> None:
    assert "(CN=Old) that expired on 2026-11-24 11:59 UTC" in changed(chain(OLD), chain(GOOD))[0]
    assert "(CN=Later) that is not valid before" in changed(chain(LATER), chain(GOOD))[0]
    assert changed(chain(OLD), None) != ()
    assert changed(chain(OLD), chain(GOOD, OLD)) != (), "it is nearer to the leaf than the one before"


def test_an_intermediate_is_no_worse_than_another_one_that_is_not_valid() -> None:
    assert changed(chain(OLD), chain(OLD)) == changed(chain(LATER), chain(OLD)) == ()
    assert changed(chain(GOOD, OLD), chain(OLD)) == ()


def test_a_root_in_the_chain_may_have_ended_since_clients_have_their_own() -> None:
    assert changed(chain(GOOD, ROOT), chain(GOOD)) == ()


def test_dates_in_a_chain_do_not_matter_where_the_served_leaf_has_expired() -> None:
    one = compared(certificate("new"), certificate("old", left=-SECOND), on_disk=chain(OLD), sent=chain(GOOD))
    assert blocked(one) == ()


def test_a_chain_that_was_cut_short_blocks_where_more_is_sent_now() -> None:
    assert changed(chain(), chain(GOOD), lacks="lacks one") == ("/live/fullchain.pem lacks one",)
    assert changed(chain(), None, lacks="lacks one") != ()
    assert changed(chain(), chain(), lacks="lacks one") == ()


def test_a_chain_behind_a_leaf_that_did_not_change_is_compared_too() -> None:
    same = certificate()
    assert blocked(compared(same, same, on_disk=chain(), sent=chain(GOOD), lacks="lacks one")) != ()
    assert blocked(compared(same, same, on_disk=chain(OLD), sent=chain(GOOD))) != ()
    assert blocked(compared(same, same, on_disk=chain(OLD), sent=chain(OLD))) == ()


def test_where_nothing_is_served_only_less_than_the_version_before_is_worse() -> None:
    cut = {"on_disk": chain(), "lacks": "lacks one"}
    assert blocked(compared(certificate(), None, sent=chain(GOOD), **cut)) != ()  # type: ignore[arg-type]
    assert blocked(compared(certificate(), None, **cut)) == ()  # type: ignore[arg-type]
    assert blocked(compared(certificate(), None, on_disk=chain(GOOD, order=Order.MIXED))) == ()


def lineage_pair(name: str) -> Pair:
    folder = Path("/etc/letsencrypt/live") / name
    source = CertificateSource(f"{folder}/fullchain.pem", f"{folder}/privkey.pem")
    return Pair(source, certificate(), folder)


def test_who_has_to_wait_is_told_for_whom_and_what_to_do() -> None:
    bad, good = lineage_pair("a"), lineage_pair("b")
    fault = faults.Fault(bad, "the chain is short", "certbot renew --cert-name a --force-renewal")

    assert faults.explained([fault], [good, bad]) == (
        "the chain is short",
        "a reload loads every certificate there is, so b must wait for a",
        "what next: certbot renew --cert-name a --force-renewal; then: exodus-certbot reconcile",
    )
    assert len(faults.explained([fault], [bad])) == 2
    assert faults.explained([], [good]) == ()


def test_the_remedy_of_a_lost_name_names_all_names() -> None:
    pair = lineage_pair("a")
    item = judged(certificate("new", names=("other.example",)), certificate("old"))
    one = Compared(Pair(pair.source, certificate("new", names=("other.example",)), pair.lineage), (item,))

    (fault,) = worse.faults([one], {}, NOW)

    assert f"certbot certonly --cert-name a -d 'other.example,{NAME}'" in fault.remedy


def test_many_names_are_counted() -> None:
    assert faults.some("abcde") == "a, b, c and 2 more"
    assert faults.some("abc") == "a, b, c"


def test_a_file_that_is_not_certbots_is_to_be_replaced() -> None:
    one = compared(certificate("new", left=-SECOND), certificate("old"))
    assert one.pair == pair_of(certificate("new", left=-SECOND))
    (fault,) = worse.faults([one], {}, NOW)
    assert fault.remedy == "put a better one into /live/fullchain.pem"
