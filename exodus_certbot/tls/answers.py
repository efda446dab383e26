"""Decide whom to ask how often, and what several answers mean. Why so often: docs/decisions/0027."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from exodus_certbot.model import Crowd, Expectation, Observation

OFTEN = 24
"""So often half and half shows but one of the two in less than one of ten million cases (2 to the power of -24)."""

Question = tuple[Expectation, int]
"""Whom to ask, and how many times."""
Answers = Mapping[Expectation, Sequence[Observation]]
Often = Callable[[Expectation], int]
"""Tell how many questions show a mixture of answers where something is asked."""

_ASKED_OFTEN = 4
_AT_A_TIME = 3
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def often_beside(crowd: Crowd | None) -> int:
    """Give the number of questions that pass by all sockets of somebody else's as seldom as `OFTEN` does by a half."""
    if crowd is None or 2 * crowd.others >= crowd.sockets:
        return OFTEN
    return math.ceil(OFTEN * math.log(2) / -math.log1p(-crowd.others / crowd.sockets))


def _often(_expectation: Expectation) -> int:
    return OFTEN


def is_right(expectation: Expectation, observation: Observation) -> bool:
    """Tell whether an answer is what is configured: the certificate on disk, or any where none can be named."""
    served, expected = observation.certificate, expectation.certificate
    if expectation.gone:
        return served is None
    if served is None:
        return observation.refused and bool(expectation.unshowable)
    return expected is None or served.sha256 == expected.sha256


def first_questions(
    expectations: Sequence[Expectation],
    at_least: int,
    suspects: Collection[Expectation] = (),
    often: Often = _often,
    to_share: int = 0,
) -> list[Question]:
    """Ask for every name, for those groups that most likely differ often, and for each other one `at_least` times.

    These others share `to_share` questions, where that is more for each of them. A group is an (address, port,
    certificate, key type). Whoever else listens at a socket loaded its certificates at some moment: where it has an
    older one at all, it has an older one in place of the newest.
    """
    likely, others = _by_likelihood(expectations, suspects)
    for_others = max(at_least, to_share // max(1, len(others)))
    times: Counter[Expectation] = Counter()
    for group in likely:
        times.update(_more(group, often(group[0])))
    for group in others:
        times.update(_more(group, min(for_others, often(group[0]))))
    return [(expectation, 1) for expectation in expectations] + _in_pieces(times)


def _by_likelihood(
    expectations: Sequence[Expectation], suspects: Collection[Expectation]
) -> tuple[list[list[Expectation]], list[list[Expectation]]]:
    """Part the groups into the few of each socket that most likely differ there, and the others."""
    likely, others = list[list[Expectation]](), list[list[Expectation]]()
    for groups in _by_socket(expectations).values():
        if groups[0][0].service.listener.quic:  # each question takes a process of its own
            continue
        groups.sort(key=lambda group: (any(one in suspects for one in group), _newest(group)), reverse=True)
        for place, group in enumerate(groups):
            is_likely = place < _ASKED_OFTEN and _expected_sha256(group[0]) is not None
            (likely if is_likely else others).append(group)
    return likely, others


def all_right(answers: Answers) -> bool:
    """Tell whether nothing wrong was answered, by whomever."""
    return all(_all_right(one, seen) for one, seen in answers.items())


def questions_to_tell_apart(answers: Answers, often: Often = _often) -> list[Question]:
    """Ask again where the names of one group were answered differently, each the same at each time so far.

    Either some of them are served otherwise, or all of them are sometimes.
    """
    times: Counter[Expectation] = Counter()
    for group in _groups(answers).values():
        right = [one for one in group if _all_right(one, answers[one])]
        wrong = [one for one in group if _shown_wrong(one, answers[one])]
        if right and wrong and not any(_is_mixed(one, answers[one]) for one in group):
            times.update({right[0]: often(right[0]), wrong[0]: often(wrong[0])})
    return _in_pieces(times)


def questions_beside_a_mixture(answers: Answers, often: Often = _often) -> list[Question]:
    """Ask often for every group that was right so far at a socket of which others answer, too."""
    times: Counter[Expectation] = Counter()
    for groups in _by_socket(answers).values():
        if any(_is_mixed(one, answers[one]) for group in groups for one in group):
            right = (group for group in groups if all(_all_right(one, answers[one]) for one in group))
            times.update({group[0]: often(group[0]) - sum(len(answers[one]) for one in group) for group in right})
    return _in_pieces(+times)


def joined(answers: Answers) -> dict[Expectation, Observation]:
    """Give one observation for each: one wrong answer outweighs all that are right, and in a mixed group for all."""
    found = {one: _outweighing(one, seen) for one, seen in answers.items()}
    if all_right(answers):
        return found
    for group in _groups(answers).values():
        if any(_is_mixed(one, answers[one]) for one in group):
            shown = next(found[one] for one in group if _shown_wrong(one, answers[one]))
            asked = sum(len(answers[one]) for one in group)
            wrong = sum(not is_right(one, answer) for one in group for answer in answers[one])
            for one in group:
                kept = shown if is_right(one, found[one]) else found[one]
                found[one] = replace(kept, asked=asked, wrong=wrong)
    return found


def _outweighing(expectation: Expectation, answers: Sequence[Observation]) -> Observation:
    wrong = [answer for answer in answers if not is_right(expectation, answer)]
    if not wrong:
        return answers[-1]
    shown = [answer for answer in wrong if answer.certificate is not None]
    return replace((shown or wrong or answers)[-1], asked=len(answers), wrong=len(wrong))


def _is_mixed(expectation: Expectation, answers: Sequence[Observation]) -> bool:
    """Tell whether one and the same question was answered by the right and by a wrong certificate."""
    return _shown_wrong(expectation, answers) and any(is_right(expectation, answer) for answer in answers)


def _shown_wrong(expectation: Expectation, answers: Sequence[Observation]) -> bool:
    return any(answer.certificate is not None and not is_right(expectation, answer) for answer in answers)


def _all_right(expectation: Expectation, answers: Sequence[Observation]) -> bool:
    return all(is_right(expectation, answer) for answer in answers)


def _groups(expectations: Iterable[Expectation]) -> dict[Hashable, list[Expectation]]:
    """Collect what shows the same certificate at the same socket; what shows an unknown one is alone."""
    groups: dict[Hashable, list[Expectation]] = defaultdict(list)
    for one in expectations:
        groups[one if _expected_sha256(one) is None else one.group].append(one)
    return groups


def _by_socket(expectations: Iterable[Expectation]) -> dict[Hashable, list[list[Expectation]]]:
    sockets: dict[Hashable, list[list[Expectation]]] = defaultdict(list)
    for group in _groups(expectations).values():
        listener = group[0].service.listener
        sockets[listener.address, listener.port, listener.quic].append(group)
    return sockets


def _expected_sha256(expectation: Expectation) -> str | None:
    return expectation.certificate.sha256 if expectation.certificate else None


def _newest(group: Sequence[Expectation]) -> datetime:
    return max((one.certificate.not_before for one in group if one.certificate), default=_LONG_AGO)


def _more(group: Sequence[Expectation], wanted: int) -> dict[Expectation, int]:
    """Spread over a group what it lacks when each of it is asked once."""
    lacking = max(0, wanted - len(group))
    each, some = divmod(lacking, len(group))
    return {one: each + (place < some) for place, one in enumerate(group) if each or place < some}


def _in_pieces(times: Mapping[Expectation, int]) -> list[Question]:
    """Cut into pieces that several askers share: at one socket of many workers, who asks alone meets one again."""
    return [
        (expectation, min(_AT_A_TIME, count - done))
        for expectation, count in times.items()
        for done in range(0, count, _AT_A_TIME)
    ]
