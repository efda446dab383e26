"""Run many processes of many machines in one thread: each effect may be the moment another goes on, or one dies."""

from collections.abc import Callable
from dataclasses import dataclass, field

from greenlet import greenlet

from exodus_common.errors import ExodusError
from tests.simulation.world import World, WorldWrong

_MOST_EFFECTS = 4_000


class Killed(BaseException):
    """End a process at once: it has no effect any more."""


@dataclass
class Process:
    """Be one process of a machine: it runs a story until that ends, fails or is killed."""

    world: World
    owner: str
    what: str
    story: Callable[["Process"], str]
    is_alive: bool = True
    died_at: float = 0.0
    is_calm: bool = False
    looked_at: dict[str, int] = field(default_factory=dict)
    claimed_at: dict[str, int] = field(default_factory=dict)
    in_transaction: int = 0
    thread: greenlet = field(init=False)
    wrong: str = ""

    def __post_init__(self) -> None:
        self.thread = greenlet(self._run)

    @property
    def machine(self) -> str:
        return self.owner.split(" ", maxsplit=1)[0]

    def _run(self) -> None:
        try:
            said = self.story(self)
        except Killed:
            said = "killed"
        except ExodusError as error:
            said = f"{type(error).__name__}: {error}"
        except WorldWrong as wrong:
            said = self.wrong = str(wrong)
        except Exception as error:
            said = self.wrong = f"a raw {type(error).__name__} in {self.what}: {error}"
        self.world.note(self.name, f"ends: {said[:150]}")
        self.is_alive, self.died_at = False, self.world.clock.monotonic()

    @property
    def name(self) -> str:
        return f"{self.what}/{self.owner.split(' ')[2]}"

    def effect(self, what: str) -> None:
        """Come to an effect: others may go first, and this process may not live to have it."""
        if not self.is_alive:
            raise Killed
        self.world.ticks += 1
        if self.world.ticks > _MOST_EFFECTS:
            raise WorldWrong(f"{self.what} comes to no end")
        if self.in_transaction or self.is_calm:
            return
        if self.world.choices.one_in(3):
            self.give_way()
            if not self.is_alive:
                raise Killed

    def give_way(self) -> None:
        """Let the world choose who goes on."""
        world = self.thread.parent
        assert world is not None, "a process has begun"
        world.switch()

    def kill(self) -> None:
        """End it between two effects."""
        if self.is_alive:
            self.world.note(self.name, "is killed")
            self.is_alive, self.died_at = False, self.world.clock.monotonic()
            if self.thread:
                self.thread.throw(Killed)
