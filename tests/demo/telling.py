"""Tell a story in numbered steps, each of which is checked while it is told."""

import io
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

Step = Callable[[], None]
_WIDTH = 110


class NotAsTold(Exception):
    """Say what the story claims and does not hold, and what was seen in its place."""


class Stopped(KeyboardInterrupt):
    """Say that somebody stopped the story, by Ctrl-C or another signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.strsignal(number))
        self.exit_code = 128 + number


class Teller:
    """Print what happens, line by line while it happens, in colours on a terminal only."""

    def __init__(self) -> None:
        colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._bold, self._green, self._plain = ("\x1b[1m", "\x1b[32m", "\x1b[0m") if colours else ("", "", "")
        self._tick = "✓" if (sys.stdout.encoding or "").lower().startswith("utf") else "ok:"
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)

    def line(self, text: str = "") -> None:
        print(text)

    def title(self, text: str) -> None:
        self.line(f"{self._bold}{text}{self._plain}\n")

    def say(self, text: str) -> None:
        """Tell in plain sentences."""
        indent = "   "
        filled = textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
        self.line(f"{filled}\n")

    def typed(self, command: str) -> None:
        """Show a command as one types it."""
        self.line(f"   {self._bold}$ {command}{self._plain}")

    def output(self, text: str) -> None:
        """Show what a command printed, less blank lines and certbot's rulers."""
        for line in text.splitlines():
            if line.strip(" -"):
                self.line(f"     {line.rstrip()}")

    def facts(self, **facts: str) -> None:
        """Show what was seen, one fact a line."""
        width = max(map(len, facts))
        shown = "".join(f"     {name.replace('_', ' '):{width}}  {fact}\n" for name, fact in facts.items())
        self.line(f"\n{shown}")

    def saw(self, held: bool, claim: str, otherwise: str = "") -> None:
        """Tick a claim off once it is known to hold; where it does not, the story ends."""
        if not held:
            raise NotAsTold(f"Not so: {claim.strip()}. {otherwise}".rstrip())
        self.line(f"   {self._green}{self._tick}{self._plain} {claim}")


def play(teller: Teller, steps: Sequence[tuple[str, Step]], evidence: Callable[[], str]) -> int:
    """Play all steps and give 0, or stop at the first that does not happen as told, name it, and give 1."""
    for number, (title, step) in enumerate(steps, start=1):
        teller.title(f"{number}. {title}")
        try:
            step()
        except Stopped as stopped:
            print(f"\n{stopped} in step {number}: the story ends here.", file=sys.stderr)
            raise
        except BrokenPipeError:
            raise  # nobody listens any more
        except Exception as error:  # whatever it is, it belongs to this step
            told = str(error) if isinstance(error, NotAsTold) else f"{type(error).__name__}: {error}"
            print(f"\nStep {number} ({title}) did not happen as told.\n{told}\n\n{evidence()}", file=sys.stderr)
            return 1
        teller.line()
    return 0


def _heed_signals() -> None:
    """Turn the first signal that would end us into an exception; later ones would only disturb the cleanup."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        for each in heeded:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    for number in heeded:
        signal.signal(number, stop)


def tell(story: Callable[[Teller], int]) -> int:
    """Tell a story, and give the exit code of the program that does."""
    _heed_signals()
    try:
        return story(Teller())
    except Stopped as stopped:
        print(f"{stopped}: everything that was started is ended and removed.", file=sys.stderr)
        return stopped.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
