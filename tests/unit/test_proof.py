"""What is a proof: workers are simulated, so that any mixture of them, and any end of the time, can be had."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exodus_certbot import decide
from exodus_certbot.model import (
    Certificate,
    CertificateSource,
    Crowd,
    Expectation,
    KeyType,
    Listener,
    Observation,
    Pair,
    Service,
    Verdict,
)
from exodus_certbot.tls import answers, prove
from exodus_common.clock import Deadline, SystemClock

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECONDS = 3.0
OTHER = "ff" * 32
in_some_worlds = settings(deadline=None, max_examples=25)


def certificate(sha256: str, age_days: float = 0.0) -> Certificate:
    begin = NOW - timedelta(days=age_days)
    return Certificate(sha256, KeyType.ECDSA, (), begin, begin + timedelta(days=90))


def expectation(name: str, sha256: str = "aa", *, port: int = 443, age_days: float = 0.0) -> Expectation:
    source = CertificateSource(f"/live/{sha256}/fullchain.pem", f"/live/{sha256}/privkey.pem")
    service = Service(name, name, Listener("0.0.0.0", port, "127.0.0.1"), (source,))
    return Expectation(service, Pair(source, certificate(sha256, age_days), None))


def names_of(names: int, certificates: int, *, age_days: Callable[[int], float] = float) -> list[Expectation]:
    """Give so many names, that share so many certificates: number 0 is the newest."""
    shared = [number % certificates for number in range(names)]
    return [expectation(f"n{place}", f"{number:x}", age_days=age_days(number)) for place, number in enumerate(shared)]


class Ticking(SystemClock):
    """A clock on which only handshakes and waiting take time."""

    def __init__(self) -> None:
        self._seconds, self._lock = 0.0, threading.Lock()

    def monotonic(self) -> float:
        return self._seconds

    def wait(self, seconds: float) -> None:
        with self._lock:
            self._seconds += seconds


class Workers:
    """Simulated workers: `shows` gives the fingerprint that the answer of this number shows, None for no answer."""

    def __init__(self, shows: Callable[[Expectation, int], str | None], *, handshake_seconds: float = 0.0) -> None:
        self._shows, self._handshake_seconds, self._lock = shows, handshake_seconds, threading.Lock()
        self.clock, self.asked = Ticking(), Counter[Expectation]()

    @property
    def deadline(self) -> Deadline:
        return Deadline.after(SECONDS, self.clock)

    def ask(self, expectation: Expectation, times: int, _seconds: float) -> Sequence[Observation]:
        return [self._one(expectation) for _ in range(times)]

    def _one(self, expectation: Expectation) -> Observation:
        with self._lock:
            number = self.asked.total()
            self.asked[expectation] += 1
            shown = self._shows(expectation, number)
        self.clock.wait(self._handshake_seconds)
        return Observation(None, "connection refused") if shown is None else Observation(certificate(shown))


def on_disk(expectation: Expectation) -> str:
    assert expectation.pair is not None
    assert expectation.pair.certificate is not None
    return expectation.pair.certificate.sha256


def as_on_disk() -> Workers:
    return Workers(lambda expectation, _number: on_disk(expectation))


def half_and_half(
    seed: int, *, stale: Callable[[Expectation], bool] = lambda _expectation: True, share: float = 0.5
) -> Workers:
    """Have another master answer every second time, by chance, with an older certificate where it has one."""
    chance = Random(seed)  # noqa: S311 - a simulated world

    def shows(expectation: Expectation, _number: int) -> str:
        return OTHER if chance.random() < share and stale(expectation) else on_disk(expectation)

    return Workers(shows)


def verdicts(expectations: Sequence[Expectation], seen: prove.Seen) -> set[Verdict]:
    return {decide.judge(one, seen.observations[one], NOW).row.verdict for one in expectations}


@in_some_worlds
@given(names=st.integers(1, 60), certificates=st.integers(1, 8), seed=st.integers())
def test_no_mixture_is_ever_called_right(names: int, certificates: int, seed: int) -> None:
    expectations = names_of(names, certificates)
    looked = half_and_half(seed)

    seen = prove.observe(expectations, looked.ask, looked.deadline)

    assert verdicts(expectations, seen) == {Verdict.STALE}


@in_some_worlds
@given(groups=st.integers(1, 60), since=st.integers(0, 59), seed=st.integers())
def test_who_has_older_certificates_for_the_newest_ones_alone_is_found(groups: int, since: int, seed: int) -> None:
    expectations = names_of(groups, groups)
    renewed = set(expectations[: since % groups + 1])
    looked = half_and_half(seed, stale=lambda one: one in renewed)

    seen = prove.observe(expectations, looked.ask, looked.deadline)

    rows = {one: decide.judge(one, seen.observations[one], NOW).row.verdict for one in expectations}
    assert {one for one, verdict in rows.items() if verdict is Verdict.STALE} == renewed


@settings(in_some_worlds, max_examples=8)
@given(names=st.integers(1, 6), seed=st.integers())
def test_no_mixture_is_ever_proven(names: int, seed: int) -> None:
    expectations = names_of(names, names)
    mixed = half_and_half(seed)

    seen = prove.prove(expectations, mixed.ask, mixed.deadline)

    assert verdicts(expectations, seen) == {Verdict.STALE}
    assert mixed.clock.monotonic() >= SECONDS


@in_some_worlds
@given(workers=st.integers(2, 64), others=st.integers(1, 3), names=st.integers(1, 6), seed=st.integers())
def test_an_unequal_mixture_is_never_called_right_where_the_shares_are_known(
    workers: int, others: int, names: int, seed: int
) -> None:
    expectations, crowds = names_of(names, names), {("127.0.0.1", 443): Crowd(workers + others, others)}
    mixed = half_and_half(seed, share=others / (workers + others))

    looked = prove.observe(expectations, mixed.ask, mixed.deadline, crowds=crowds)
    proven = prove.prove(expectations, mixed.ask, mixed.deadline, crowds=crowds)

    assert Verdict.STALE in verdicts(expectations, looked)
    assert Verdict.STALE in verdicts(expectations, proven)


def test_a_proof_ends_where_somebody_else_gives_the_wrong_answers() -> None:
    mixed = half_and_half(1)

    seen = prove.prove([expectation("n0")], mixed.ask, mixed.deadline, crowds={("127.0.0.1", 443): Crowd(4, 2)})

    assert (seen.is_right, seen.is_full) == (False, False)
    assert mixed.clock.monotonic() < SECONDS / 2


def test_a_proof_goes_on_where_nobody_else_answers() -> None:
    mixed = half_and_half(1)

    prove.prove([expectation("n0")], mixed.ask, mixed.deadline, crowds={("127.0.0.1", 8443): Crowd(4, 2)})

    assert mixed.clock.monotonic() >= SECONDS


@pytest.mark.parametrize(
    ("crowd", "times"), [(None, 24), (Crowd(4, 2), 24), (Crowd(4, 4), 24), (Crowd(3, 1), 42), (Crowd(17, 1), 275)]
)
def test_the_smaller_somebody_elses_share_the_more_questions(crowd: Crowd | None, times: int) -> None:
    assert answers.often_beside(crowd) == times


@in_some_worlds
@given(names=st.integers(1, 200), certificates=st.integers(1, 200))
def test_one_full_round_is_enough_where_all_is_right(names: int, certificates: int) -> None:
    expectations = names_of(names, certificates)
    workers = as_on_disk()

    seen = prove.prove(expectations, workers.ask, workers.deadline)

    asked_of = Counter[str]()
    for one, times in workers.asked.items():
        asked_of[on_disk(one)] += times
    assert (seen.is_full, seen.is_right) == (True, True)
    assert min(asked_of.values()) >= prove.AT_LEAST
    assert sum(times >= answers.OFTEN for times in asked_of.values()) >= min(4, len(asked_of))
    assert workers.asked.total() <= names + prove.AT_LEAST * len(asked_of) + 4 * answers.OFTEN + prove.SHARED


@pytest.mark.parametrize(("certificates", "at_least"), [(1, 24), (14, 24), (15, 21), (84, 3), (124, 2), (2000, 2)])
def test_the_fewer_certificates_the_more_often_a_proof_asks_for_each(certificates: int, at_least: int) -> None:
    workers = as_on_disk()

    prove.prove(names_of(certificates, certificates), workers.ask, workers.deadline)

    times = sorted(workers.asked.values())
    assert times[0] == at_least
    assert times[-1] == answers.OFTEN


def test_a_look_asks_once_for_what_less_likely_differs() -> None:
    looked = as_on_disk()

    prove.observe(names_of(14, 14), looked.ask, looked.deadline)

    assert sorted(looked.asked.values()) == [1] * 10 + [answers.OFTEN] * 4


@in_some_worlds
@given(names=st.integers(1, 20), wrong=st.integers(1, 200))
def test_wrong_answers_are_followed_by_a_full_round_without_one(names: int, wrong: int) -> None:
    expectations = names_of(names, names)
    workers = Workers(lambda one, number: OTHER if number < wrong else on_disk(one))

    seen = prove.prove(expectations, workers.ask, workers.deadline)

    assert (seen.is_full, seen.is_right) == (True, True)
    one_round = as_on_disk()
    prove.prove(expectations, one_round.ask, one_round.deadline)
    assert workers.asked.total() >= wrong + one_round.asked.total()


def test_a_single_wrong_answer_of_a_round_is_not_outvoted() -> None:
    one = expectation("n0")
    looked = Workers(lambda _one, number: OTHER if number == 7 else "aa")

    seen = prove.observe([one], looked.ask, looked.deadline)
    row = decide.judge(one, seen.observations[one], NOW).row

    assert (row.verdict, row.served_sha256) == (Verdict.STALE, OTHER)
    assert row.reason.startswith("answers differ: 1 of 24 show another one: serves ffff")
    assert "somebody else" in row.reason


def test_a_name_that_is_always_served_otherwise_makes_no_mixture_of_its_neighbours() -> None:
    expectations = names_of(3, 1)
    looked = Workers(lambda one, _number: OTHER if one == expectations[1] else "0")

    seen = prove.observe(expectations, looked.ask, looked.deadline)

    rows = [decide.judge(one, seen.observations[one], NOW).row for one in expectations]
    assert [row.verdict for row in rows] == [Verdict.OK, Verdict.STALE, Verdict.OK]
    assert "differ" not in rows[1].reason


def test_two_sockets_are_two_listeners_and_one_of_them_may_be_mixed() -> None:
    alone, shared = expectation("a", port=443), expectation("a", port=8443)
    chance = Random(1)  # noqa: S311 - a simulated world
    looked = Workers(lambda one, _number: OTHER if one == shared and chance.random() < 0.5 else "aa")

    seen = prove.observe([alone, shared], looked.ask, looked.deadline)

    assert verdicts([alone], seen) == {Verdict.OK}
    assert verdicts([shared], seen) == {Verdict.STALE}


def test_what_does_not_answer_is_asked_a_few_times_at_most_since_each_time_costs_seconds() -> None:
    one = expectation("n0")
    looked = Workers(lambda _one, _number: None)

    seen = prove.observe([one], looked.ask, looked.deadline)

    assert decide.judge(one, seen.observations[one], NOW).row.verdict is Verdict.UNREACHABLE
    assert looked.asked.total() <= answers.OFTEN


def test_at_the_deadline_what_was_seen_last_is_told() -> None:
    expectations = names_of(3, 3)
    stale = Workers(lambda one, _number: OTHER if one == expectations[1] else on_disk(one), handshake_seconds=0.01)

    seen = prove.prove(expectations, stale.ask, stale.deadline)

    rows = [decide.judge(one, seen.observations[one], NOW).row for one in expectations]
    assert [row.verdict for row in rows] == [Verdict.OK, Verdict.STALE, Verdict.OK]
    assert rows[1].served_sha256 == OTHER
    assert not seen.is_full


@in_some_worlds
@given(seconds=st.floats(0.2, 10.0), handshake_seconds=st.floats(0.02, 0.2))
def test_a_handshake_that_the_end_of_time_cut_off_takes_nothing_back(seconds: float, handshake_seconds: float) -> None:
    one, clock = expectation("n0"), Ticking()

    def ask(_one: Expectation, times: int, limit: float) -> Sequence[Observation]:
        made = min(times, int(limit / handshake_seconds))
        seen = [Observation(certificate(OTHER))] * made
        clock.wait(made * handshake_seconds if made == times else limit)
        return seen if made == times else [*seen, Observation(None, "no answer in time")]

    seen = prove.prove([one], ask, Deadline.after(seconds, clock))

    row = decide.judge(one, seen.observations[one], NOW).row
    assert (row.verdict, row.served_sha256) == (Verdict.STALE, OTHER)


def test_a_listener_that_is_silent_for_a_while_is_unreachable_though_time_is_up_then() -> None:
    one, clock = expectation("n0"), Ticking()

    def ask(_one: Expectation, _times: int, limit: float) -> Sequence[Observation]:
        clock.wait(limit)
        return [Observation(None, "no answer")]

    seen = prove.observe([one], ask, Deadline.after(1, clock))

    assert seen.observations[one].failure == "no answer"


def test_where_the_reload_took_all_the_time_what_was_seen_before_it_is_told_and_not_called_proven() -> None:
    stale, right, unseen = names_of(3, 3)
    before = {
        stale: Observation(certificate(OTHER)),
        right: Observation(certificate(on_disk(right))),
    }
    workers = as_on_disk()
    deadline = Deadline.after(0, workers.clock)

    seen = prove.prove([stale, right, unseen], workers.ask, deadline, before)

    rows = [decide.judge(one, seen.observations[one], NOW).row for one in (stale, right, unseen)]
    assert [row.verdict for row in rows] == [Verdict.STALE, Verdict.OK, Verdict.UNREACHABLE]
    assert [row.served_sha256 for row in rows] == [OTHER, on_disk(right), None]
    assert all("not asked" in row.reason for row in rows)
    assert prove.prove([right], workers.ask, deadline, before).lacks_time


@in_some_worlds
@given(cut_seconds=st.floats(0.0, 60.0), wrong=st.integers(0, 120))
def test_nothing_is_called_right_without_a_full_round_that_was(cut_seconds: float, wrong: int) -> None:
    expectations = names_of(6, 6)
    workers = Workers(lambda one, number: OTHER if number < wrong else on_disk(one), handshake_seconds=0.3)

    seen = prove.prove(expectations, workers.ask, Deadline.after(cut_seconds, workers.clock))

    one_round = as_on_disk()
    prove.prove(expectations, one_round.ask, one_round.deadline)
    assert seen.is_full == (seen.is_full and seen.is_right)
    assert not seen.is_full or workers.asked.total() >= wrong + one_round.asked.total()
    assert seen.is_full or seen.lacks_time or not seen.is_right


@pytest.mark.parametrize(("refused", "verdict"), [(True, Verdict.NOT_PROBED), (False, Verdict.UNREACHABLE)])
def test_a_key_type_is_not_probed_only_where_it_is_configured_away_and_refused(refused: bool, verdict: Verdict) -> None:
    one = expectation("n0")
    configured_away = Expectation(one.service, one.pair, KeyType.ECDSA, unshowable="no suite")
    seen = Observation(None, "alert", refused=refused)

    assert decide.judge(configured_away, seen, NOW).row.verdict is verdict
    assert answers.is_right(configured_away, seen) is refused
    assert decide.judge(one, Observation(None, "alert", refused=True), NOW).row.verdict is Verdict.UNREACHABLE
    assert decide.judge(configured_away, Observation(certificate(OTHER)), NOW).row.verdict is Verdict.STALE
