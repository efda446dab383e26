"""Ask every listener for every name, many at a time, until all answers are right or time is up."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from exodus_certbot.model import Expectation, Observation
from exodus_common.clock import Deadline

Ask = Callable[[Expectation, float], Observation]
"""Make one handshake within some seconds."""

IN_A_ROW = 3
_AT_ONCE = 8
_LONGEST_HANDSHAKE_SECONDS = 10.0


def observe(
    expectations: Iterable[Expectation], ask: Ask, deadline: Deadline, *, in_a_row: int = 1
) -> dict[Expectation, Observation]:
    """Ask once for every name, and at least `in_a_row` times for every (address, port, certificate, key type).

    Where several answers to one question differ, the one that is wrong is kept.
    """
    asked = [expectation for expectation in expectations if not expectation.not_probed]
    questions = asked + _more(asked, in_a_row)

    def answer(expectation: Expectation) -> Observation:
        seconds = min(deadline.remaining_seconds(), _LONGEST_HANDSHAKE_SECONDS)
        return ask(expectation, seconds) if seconds > 0 else Observation(None, "not asked: time was up")

    observations: dict[Expectation, Observation] = {}
    for expectation, observation in _side_by_side(answer, questions):
        if expectation not in observations or is_right(expectation, observations[expectation]):
            observations[expectation] = observation
    return observations


def _side_by_side(
    answer: Callable[[Expectation], Observation], questions: Sequence[Expectation]
) -> Iterable[tuple[Expectation, Observation]]:
    """Deal the questions out to some threads; a task for each question would cost as much as its handshake."""
    hands = [questions[first::_AT_ONCE] for first in range(min(_AT_ONCE, len(questions)))]
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        for hand in pool.map(lambda hand: [(question, answer(question)) for question in hand], hands):
            yield from hand


def _more(expectations: Sequence[Expectation], in_a_row: int) -> list[Expectation]:
    """Choose whom to ask again so that every group is asked `in_a_row` times."""
    groups: dict[tuple[object, ...], list[Expectation]] = defaultdict(list)
    for expectation in expectations:
        groups[expectation.group].append(expectation)
    return [
        members[extra % len(members)] for members in groups.values() for extra in range(max(0, in_a_row - len(members)))
    ]


def is_right(expectation: Expectation, observation: Observation) -> bool:
    """Tell whether a handshake showed the certificate on disk, or any where none can be named."""
    expected = expectation.pair.certificate if expectation.pair else None
    served = observation.certificate
    return served is not None and (expected is None or served.sha256 == expected.sha256)


def prove(expectations: Iterable[Expectation], ask: Ask, deadline: Deadline) -> Mapping[Expectation, Observation]:
    """Ask until every answer is right, those that were wrong again and again; at the deadline give what is."""
    open_questions = list(expectations)
    observations: dict[Expectation, Observation] = {}
    for _ in deadline.poll():
        observations |= observe(open_questions, ask, deadline, in_a_row=IN_A_ROW)
        open_questions = [e for e in open_questions if e in observations and not is_right(e, observations[e])]
        if not open_questions:
            break
    return observations
