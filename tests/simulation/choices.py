"""What happens in a world: drawn from a seed, written down, played again exactly, and made shorter."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Choices:
    """Give one choice after another: first those of a script, then a seed's, or else the simplest (0)."""

    script: Sequence[int] = ()
    source: random.Random | None = None
    made: list[int] = field(default_factory=list)

    @classmethod
    def of_seed(cls, seed: int) -> "Choices":
        """Draw everything from a seed."""
        return cls(source=random.Random(seed))  # noqa: S311 - no secret

    def below(self, count: int) -> int:
        """Choose a number from 0 to before `count`; 0 is what makes the least happen."""
        at = len(self.made)
        if at < len(self.script):
            chosen = self.script[at] % count
        else:
            chosen = self.source.randrange(count) if self.source else 0
        self.made.append(chosen)
        return chosen

    def one_in(self, count: int) -> bool:
        """Say yes once in so many times; never where choices have run out."""
        return self.below(count) == count - 1

    def weighted(self, weights: Sequence[int]) -> int:
        """Choose a place in a list by its weights."""
        left = self.below(sum(weights))
        for place, weight in enumerate(weights):
            if left < weight:
                return place
            left -= weight
        raise AssertionError


def shrunk(script: Sequence[int], fails: Callable[[Sequence[int]], bool], *, most_tries: int = 3000) -> list[int]:
    """Give a script that still fails and of which no piece can be left out or made simpler, as far as the tries go."""
    best, tries = list(script), 0

    def better(candidate: list[int]) -> bool:
        nonlocal best, tries
        tries += 1
        if tries > most_tries or candidate == best or not fails(candidate):
            return False
        best = candidate
        return True

    piece = max(1, len(best) // 2)
    while piece and tries <= most_tries:
        at, made_better = 0, False
        while at < len(best) and tries <= most_tries:
            if better(best[:at] + best[at + piece :]) or better(best[:at] + [0] * piece + best[at + piece :]):
                made_better = True
                at += 0 if len(best) < len(script) else piece
            else:
                at += piece
        piece = piece if made_better and piece == 1 else piece // 2
    return best
