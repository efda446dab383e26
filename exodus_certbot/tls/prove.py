"""Ask every listener for every name, many at a time, until in one full round all answers are right or time is up."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from exodus_certbot.model import Crowd, Expectation, Observation
from exodus_certbot.tls import answers
from exodus_certbot.tls.answers import Question, is_right
from exodus_common.clock import Deadline

Ask = Callable[[Expectation, int, float], Sequence[Observation]]
"""Make so many handshakes, one after another and none after one that fails, all within some seconds."""

Crowds = Mapping[tuple[str, int], Crowd]
"""Say at which address and port somebody else's sockets are dealt connections, too."""

AT_LEAST = 2
SHARED = 10 * answers.OFTEN
"""So many questions of a proof the groups share that less likely differ: ten of them are asked as often as any."""
_Answer = TypeVar("_Answer")
_AT_ONCE = 8
_LONGEST_HANDSHAKE_SECONDS = 10.0
_PATIENT_SECONDS = 1.0
"""A handshake that was given less, because time was up, and did not come to its end shows nothing of the listener."""
_NOT_ASKED = Observation(None, "not asked: time was up", asked=0)
_SEEN_EARLIER = "seen before the reload, and not asked since: time was up"


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold what was observed last; `is_full` tells that everything was asked as often as was planned."""

    observations: Mapping[Expectation, Observation]
    is_full: bool

    @property
    def is_right(self) -> bool:
        """Tell whether nothing wrong was seen."""
        return all(is_right(expectation, seen) for expectation, seen in self.observations.items())

    @property
    def lacks_time(self) -> bool:
        """Tell whether nothing wrong was seen, and too little to say that all is right."""
        return self.is_right and not self.is_full

    def or_earlier(self, earlier: Mapping[Expectation, Observation]) -> "Seen":
        """Put what was seen before a reload where nothing was seen since."""
        late = {
            expectation: replace(earlier[expectation], remark=_SEEN_EARLIER)
            for expectation, seen in self.observations.items()
            if not seen.asked and expectation in earlier and earlier[expectation].asked
        }
        return replace(self, observations={**self.observations, **late})


def observe(
    expectations: Iterable[Expectation],
    ask: Ask,
    deadline: Deadline,
    *,
    at_least: int = 1,
    to_share: int = 0,
    suspects: Iterable[Expectation] = (),
    crowds: Crowds | None = None,
) -> Seen:
    """Make one full round: ask for every name, and so often that a mixture of right and wrong answers shows."""
    often = _often(crowds or {})
    asked = [expectation for expectation in expectations if not expectation.not_probed]
    this = _Round(ask, deadline)
    this.pose(answers.first_questions(asked, at_least, frozenset(suspects), often, to_share))
    if not answers.all_right(this.found):
        this.pose(answers.questions_to_tell_apart(this.found, often))
        this.pose(answers.questions_beside_a_mixture(this.found, often))
    return Seen(dict.fromkeys(asked, _NOT_ASKED) | answers.joined(this.found), this.is_full)


def _often(crowds: Crowds) -> answers.Often:
    return lambda expectation: answers.often_beside(_crowd_at(expectation, crowds))


def _crowd_at(expectation: Expectation, crowds: Crowds) -> Crowd | None:
    place = expectation.service.listener.place
    return None if place is None else crowds.get(place)


class _Round:
    """Collect the answers of one round, and whether there was time for all of it."""

    def __init__(self, ask: Ask, deadline: Deadline) -> None:
        self.found: dict[Expectation, list[Observation]] = defaultdict(list)
        self.is_full = True
        self._ask, self._deadline = ask, deadline
        self._silent: set[Expectation] = set()

    def pose(self, questions: Sequence[Question]) -> None:
        for expectation, observations in _side_by_side(self._answers_to, questions):
            if observations is None:
                self.is_full = False
            elif observations:
                self.found[expectation] += observations

    def _answers_to(self, question: Question) -> tuple[Expectation, Sequence[Observation] | None]:
        """Ask; give None where there is no time, and nothing where there was no answer before."""
        expectation, times = question
        if expectation in self._silent:  # each further question would cost its whole limit
            return expectation, ()
        seconds = min(self._deadline.remaining_seconds(), _LONGEST_HANDSHAKE_SECONDS)
        if seconds <= 0:
            return expectation, None
        observations = self._ask(expectation, times, seconds)
        if observations[-1].certificate is not None:
            return expectation, observations
        if seconds < _PATIENT_SECONDS and self._deadline.is_past():
            self.is_full = False
            return expectation, observations[:-1]
        self._silent.add(expectation)
        return expectation, observations


def _side_by_side(answer: Callable[[Question], _Answer], questions: Sequence[Question]) -> Iterable[_Answer]:
    """Deal the questions out to some threads; a task for each question would cost as much as its handshake."""
    hands = [questions[first::_AT_ONCE] for first in range(min(_AT_ONCE, len(questions)))]
    if not hands:
        return
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        for hand in pool.map(lambda hand: [answer(question) for question in hand], hands):
            yield from hand


def prove(
    expectations: Iterable[Expectation],
    ask: Ask,
    deadline: Deadline,
    earlier: Mapping[Expectation, Observation] | None = None,
    crowds: Crowds | None = None,
) -> Seen:
    """Make full rounds until there is nothing wrong in one; at the deadline give what was seen last, never as right.

    `earlier` is what was seen before a reload: what was wrong then is asked often, and shown where time is up. Where
    `crowds` say whose the wrong answers are, two rounds are enough: no further one makes them right.
    """
    wanted, before = list(expectations), earlier or {}
    suspects = [one for one in wanted if one in before and not is_right(one, before[one])]
    known: dict[Expectation, Observation] = {}
    seen = Seen({}, is_full=False)
    for attempt in deadline.poll():
        seen = observe(wanted, ask, deadline, at_least=AT_LEAST, to_share=SHARED, suspects=suspects, crowds=crowds)
        known |= {one: new for one, new in seen.observations.items() if _is_news(one, new, known, seen)}
        if seen.is_full and seen.is_right:
            return seen
        if seen.is_full and attempt > 1 and _are_others(seen, crowds or {}):
            break
    return Seen(known, is_full=False).or_earlier(before)


def _are_others(seen: Seen, crowds: Crowds) -> bool:
    """Tell whether all that was wrong was answered where somebody else answers, too."""
    wrong = [one for one, observation in seen.observations.items() if not is_right(one, observation)]
    return all(_crowd_at(one, crowds) is not None for one in wrong)


def _is_news(
    expectation: Expectation, observation: Observation, known: Mapping[Expectation, Observation], seen: Seen
) -> bool:
    """Tell whether to take an observation; one right answer of a round that time cut short takes no wrong one back."""
    if expectation not in known or not known[expectation].asked or seen.is_full:
        return True
    return bool(observation.asked) and not is_right(expectation, observation)
