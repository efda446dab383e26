"""Play a world from its choices: who does what when, what breaks, and whether anything was lost or is stuck."""

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from unittest.mock import patch

from greenlet import getcurrent

from exodus_storage_guard.admission import asking, reservations
from exodus_storage_guard.errors import UploadRefused
from exodus_storage_guard.model import IN_STORE, Need, ObjectState
from exodus_storage_guard.settings import Settings
from exodus_storage_guard.state.sqlite import SqliteCatalogue
from exodus_storage_guard.tiering import initialise, rebuild, recall, sweep, sync, verify
from exodus_storage_guard.tiering.archive import MARK
from exodus_storage_guard.transitions import REPLAY
from tests.simulation import guard
from tests.simulation.choices import Choices
from tests.simulation.machine import Process
from tests.simulation.world import TOTAL_BYTES, Thing, World, WorldWrong

_KEYS = [f"{letter * 60}_org.example.apk" for letter in "abcdefghijkl"]
_MOST_ACTIONS = 36
_DAY = timedelta(days=1)
_OLD = timedelta(days=guard.MINIMUM_AGE_DAYS + 1)
# Where memory is a filesystem, a file that is written durably costs nothing.
_FAST = Path("/dev/shm")


@dataclass(frozen=True)
class Outcome:
    """Say what was wrong, nothing where all was right, and how it came to that."""

    wrong: str
    choices: list[int]
    log: list[str]
    events: frozenset[str]


@cache
def _template() -> bytes:
    """Make one empty catalogue, to be copied for each world."""
    with tempfile.TemporaryDirectory() as folder:
        catalogue = SqliteCatalogue(Path(folder) / "state.db")
        catalogue.create()
        catalogue.database.close()
        return (Path(folder) / "state.db").read_bytes()


@dataclass
class Play:
    """Hold one world and everybody in it."""

    world: World
    folder: Path
    settings: Settings
    processes: list[Process] = field(default_factory=list)
    hands: list[str] = field(default_factory=list)
    archive_backup: dict[str, Thing] = field(default_factory=dict)
    store_backup: dict[str, Thing] = field(default_factory=dict)
    yesterday: bytes = b""
    uploads: int = 0
    is_quiet: bool = False

    @property
    def file(self) -> Path:
        return self.folder / "state.db"

    @property
    def choices(self) -> Choices:
        return self.world.choices

    # --- processes ---

    def current(self) -> Process:
        """Give the process that runs at this moment."""
        thread = getcurrent()
        return next(one for one in self.processes if one.thread is thread)

    def start(self, what: str, story: Callable[[Process], str]) -> Process:
        machine = f"machine{self.choices.below(2)}"
        process = Process(self.world, f"{machine} boot {len(self.processes) + 1} 0", what, story)
        self.processes.append(process)
        guard.PROCESSES.append(process)
        self.world.note(process.name, "begins")
        return process

    def calmly(self, what: str, story: Callable[[Process], str]) -> str:
        """Run a story to its end with nobody beside it and nothing going wrong."""
        process = self.start(what, story)
        process.is_calm = True
        self.world.ticks = 0
        process.thread.switch()
        if process.wrong:
            raise WorldWrong(process.wrong)
        return self.world.log[-1]

    def sweeping(self, need: Need | None, premigrated_only: bool, *, listing: bool = True) -> Process:
        at_high = need is None and not self.is_quiet and self.choices.one_in(3)

        def story(process: Process) -> str:
            run = guard.run_of(process, self.settings, self.file)
            if listing and need is None:
                sync.sync(run, emptied=not self.world.store and self.world.is_store_mounted)
            found = sweep.sweep(
                run, need, premigrated_only=premigrated_only, start_at_high=at_high, progress=lambda done, aim: None
            )
            return f"{found.verdict}: {found.reason}"

        return self.start("sweep", story)

    # --- the story of a seed ---

    def prepare(self) -> None:
        """Have a guard that was set up when all was well, and objects of all ages."""
        for number, key in enumerate(_KEYS[: 2 + self.choices.below(9)]):
            content = self.content()
            if self.world.used_bytes + len(content) < TOTAL_BYTES * 9 // 10:
                self.put_by_hand(key, content, age=_DAY if number % 4 == 3 else _OLD * (20 - number))

        def story(process: Process) -> str:
            initialise.initialise(guard.run_of(process, self.settings, self.file))
            return "ready"

        self.calmly("init", story)

    def play(self) -> None:
        for _ in range(_MOST_ACTIONS):
            self.turn()
            wrong = next((one.wrong for one in self.processes if one.wrong), "")
            if wrong:
                raise WorldWrong(wrong)

    def turn(self) -> None:
        """Have somebody go on, or begin, or something happen."""
        running = [one for one in self.processes if one.is_alive]
        kind = self.choices.weighted([6, 3, 2, 1] if running else [0, 4, 2, 0])
        if kind == 0:
            for _ in range(12):
                alive = [one for one in self.processes if one.is_alive]
                if alive:
                    alive[self.choices.below(len(alive))].thread.switch()
        elif kind == 1:
            self.begin()
        elif kind == 2:
            self.happen()
        else:
            running[self.choices.below(len(running))].kill()

    def begin(self) -> None:
        """Begin one of the guard's stories."""
        key = _KEYS[self.choices.below(len(_KEYS))]
        away = [one for one in _KEYS if one not in self.world.store and one in self.world.archive] or [key]
        gone = away[self.choices.below(len(away))]
        stories: list[tuple[int, Callable[[], object]]] = [
            (5, lambda: self.sweeping(None, False)),
            (3, lambda: self.sweeping(None, False, listing=False)),
            (2, lambda: self.sweeping(Need(300), False)),
            (2, lambda: self.sweeping(Need(200), True)),
            (5, lambda: self.upload(key)),
            (3, lambda: self.simply("restore", lambda process: self._restore(process, gone))),
            (2, lambda: self.forgetting(gone)),
            (1, lambda: self.simply("verify", self._verify)),
            (1, lambda: self.simply("rebuild", self._rebuild)),
            (2, lambda: self.simply("sync", self._sync)),
            (1, lambda: self.simply("hold", lambda process: self._hold(process, key))),
        ]
        stories[self.choices.weighted([weight for weight, _ in stories])][1]()

    def simply(self, what: str, story: Callable[[Process], str]) -> Process:
        return self.start(what, story)

    def _restore(self, process: Process, key: str) -> str:
        run = guard.run_of(process, self.settings, self.file)
        control = guard.control_of(process, self.settings, self.file, self.sweeping_for)
        return recall.restore(run, control, key).reason

    def sweeping_for(self, need: Need | None, premigrated_only: bool) -> Process:
        return self.sweeping(need, premigrated_only, listing=False)

    def forgetting(self, key: str) -> Process:
        """Have a person forget a key."""

        def story(process: Process) -> str:
            return recall.forget(guard.run_of(process, self.settings, self.file), key).reason

        return self.start("forget", story)

    def _verify(self, process: Process) -> str:
        found = list(verify.verify(guard.run_of(process, self.settings, self.file), None))
        return f"{len(found)} verified"

    def _rebuild(self, process: Process) -> str:
        found = rebuild.rebuild(guard.run_of(process, self.settings, self.file))
        return f"{found.archived} known, {len(found.problems)} problems"

    def _sync(self, process: Process) -> str:
        return f"{sync.sync(guard.run_of(process, self.settings, self.file)).listed.count} listed"

    def _hold(self, process: Process, key: str) -> str:
        run = guard.run_of(process, self.settings, self.file)
        return f"{run.catalogue.hold([key], run.clock.now(), held=self.choices.below(2) == 0)} held"

    def upload(self, key: str) -> Process:
        """Have a platform upload: admitted, stored, committed."""
        content, age = self.content(), (timedelta(), timedelta(), _OLD)[self.choices.below(3)]
        if key in self.world.store and self.choices.one_in(4):
            content = self.world.store[key].content

        def story(process: Process) -> str:
            control = guard.control_of(process, self.settings, self.file, self.sweeping_for)
            asker, begun_at = asking.Asker(0, process.owner), self.world.ticks
            wanted = asking.request(control, len(content), key, asker=asker)
            try:
                reservations.admit(control, wanted)
            except UploadRefused as refusal:
                return f"refused: {refusal}"
            flood_bytes = control.settings.watermarks.of(TOTAL_BYTES).flood_bytes
            counts_all = control.settings.capacity.source == "filesystem"
            if counts_all and self.world.grown_at < begun_at and self.world.used_bytes + len(content) > flood_bytes:
                raise WorldWrong(f"{len(content)} bytes are admitted beside {self.world.used_bytes}")
            process.effect("upload")
            if not self.world.is_store_mounted:
                return "there is nowhere to store it"
            self.put_by_hand(key, content, age)
            process.effect("uploaded")
            reservations.commit(control, wanted.id, key)
            return "stored"

        return self.start("upload", story)

    # --- others' hands ---

    def happen(self) -> None:
        """Have something happen that the guard has no hand in, of what this world allows."""
        hands = [*self.hands, "time"]
        what = hands[self.choices.below(len(hands))]
        self.world.note("world", what)
        getattr(self, f"do_{what}")()
        self.world.somebody_did(what)
        if what in ("overwrite", "fill"):
            self.world.grown_at = self.world.ticks

    def content(self) -> bytes:
        self.uploads += 1
        size = (40, 40, 100, 200)[self.choices.below(4)]
        return random.Random(self.uploads).randbytes(size)  # noqa: S311 - no secret

    def put_by_hand(self, key: str, content: bytes, age: timedelta = timedelta()) -> None:
        if key in self.world.store:
            self.world.take_from_store(key)
            self.world.somebody_did(f"{key[:3]} was overwritten")
        self.world.store[key] = self.world.thing(content, self.world.clock.true - age)
        self.world.accept(key, self.world.store[key])

    def one_of(self, things: dict[str, Thing]) -> str | None:
        names = sorted(name for name in things if name != MARK)
        return names[self.choices.below(len(names))] if names else None

    def do_time(self) -> None:
        self.world.clock.wait((60, 600, 90_000, 3 * 86_400)[self.choices.below(4)])

    def do_clock(self) -> None:
        """Have the machines' clock jump: a year ahead, a day back, or right again."""
        self.world.clock.wrong_by = (timedelta(), timedelta(days=365), -_DAY)[self.choices.below(3)]

    def do_delete(self) -> None:
        key = self.one_of(self.world.store)
        if key:
            self.world.take_from_store(key)

    def do_overwrite(self) -> None:
        key = self.one_of(self.world.store)
        if key:
            self.uploads += 1
            content = random.Random(self.uploads).randbytes(len(self.world.store[key].content))  # noqa: S311
            self.put_by_hand(key, content)

    def do_unmount_store(self) -> None:
        self.world.is_store_mounted = not self.world.is_store_mounted

    def do_back_up_store(self) -> None:
        self.store_backup = dict(self.world.store)

    def do_restore_store(self) -> None:
        """Bring a store back from a backup, at the time it is now: what came since is gone."""
        self.world.clock.wait(2)
        self.world.grown_at = self.world.ticks
        self.world.was_brought_back = True
        self.world.store = {
            key: replace(thing, modified_at=self.world.clock.true) for key, thing in self.store_backup.items()
        }
        for key, thing in self.world.store.items():
            self.world.accept(key, thing)

    def do_fill(self) -> None:
        size = (50, 100, 200)[self.choices.below(3)]
        room = TOTAL_BYTES - self.world.used_bytes
        if room > size:
            self.uploads += 1
            self.world.store[f"{'z' * 60}_{self.uploads}.apk"] = self.world.thing(bytes(size), self.world.clock.true)

    def do_lose_copy(self) -> None:
        name = self.one_of(self.world.archive)
        if name:
            self.world.spoil(name, self.world.archive.pop(name))

    def do_damage_copy(self) -> None:
        name = self.one_of(self.world.archive)
        if name:
            self.world.clock.wait(2)  # no server tells two times of one second apart
            old = self.world.archive[name]
            content = bytes(len(old.content))
            self.world.archive[name] = replace(self.world.thing(content, self.world.clock.true), kind=old.kind)
            self.world.spoil(name, old)

    def do_power_cut(self) -> None:
        """End every process, and tear or lose what the archive's disk had not yet written down."""
        for process in self.processes:
            process.kill()
        self.world.clock.wait(2)
        for name, at in self.world.written_at.items():
            if self.world.ticks - at < 20 and name in self.world.archive and name != MARK:
                self.tear(name)

    def tear(self, name: str) -> None:
        whole, kind = self.world.archive[name], self.choices.below(3)
        if kind == 1:
            self.world.archive[name] = self.world.thing(whole.content[: len(whole.content) // 2], self.world.clock.true)
        elif kind == 2:
            del self.world.archive[name]
        if kind:
            self.world.spoil(name, whole)

    def do_back_up_archive(self) -> None:
        self.archive_backup = {name: thing for name, thing in self.world.archive.items() if name != MARK}

    def do_restore_archive(self) -> None:
        self.world.clock.wait(2)
        self.world.restore_archive(self.archive_backup)

    def do_unmount(self) -> None:
        self.world.is_mounted = not self.world.is_mounted

    def do_forge(self) -> None:
        """Write into the state what is not so."""
        key = self.one_of(self.world.store)
        if key:
            catalogue = SqliteCatalogue(self.file)
            sql = (
                "UPDATE objects SET state = 'premigrated', sha256 = ?, copy = key WHERE state = 'resident' AND key = ?"
            )
            catalogue.database.write(lambda session: session.execute(sql, ("00" * 32, key.encode())).rowcount)
            catalogue.database.close()

    def do_keep_state(self) -> None:
        self.yesterday = self._whole_state()

    def do_set_back(self) -> None:
        """Bring yesterday's state back: whoever was at work is ended first, as whoever copies a database does."""
        if self.yesterday:
            for process in self.processes:
                process.kill()
            for file in self.folder.iterdir():
                file.unlink()
            self.file.write_bytes(self.yesterday)
            self.world.was_set_back = True

    def _whole_state(self) -> bytes:
        catalogue = SqliteCatalogue(self.file)
        copy = self.folder / "copy.db"
        copy.unlink(missing_ok=True)
        catalogue.database.get().execute("VACUUM INTO ?", (str(copy),))
        catalogue.database.close()
        whole = copy.read_bytes()
        copy.unlink()
        return whole

    # --- once it is quiet ---

    def quiet(self) -> None:
        """Let everybody come to an end, and see that nothing is stuck, unknown or full."""
        for process in self.processes:
            process.kill()
        self.is_quiet = True
        self.world.is_mounted = self.world.is_store_mounted = True
        self.world.clock.wrong_by, self.world.archive_room = timedelta(), None
        self.world.clock.wait(5_000)  # a lease has ended, and what is late has come back
        if self.choices.below(2):
            self._fill_to(TOTAL_BYTES * 88 // 100)
        if self.world.was_set_back or (self.world.was_brought_back and not self.world.prunes):
            self.calmly("rebuild", self._rebuild)
        self._sweep_and_look_for_room(self.settings.watermarks.of(TOTAL_BYTES).high_bytes)
        for _ in range(2):
            self.world.clock.wait(2 * 86_400)
            said = self._sweep_and_look_for_room(self.settings.watermarks.of(TOTAL_BYTES).low_bytes)
        self.calmly("look", lambda process: self._look(process, said))

    def _fill_to(self, most_bytes: int) -> None:
        """Have uploads fill what came back before anybody has looked."""
        while self.world.used_bytes + 20 <= most_bytes:
            self.uploads += 1
            self.world.store[f"{'y' * 60}_{self.uploads}.apk"] = self.world.thing(bytes(20), self.world.clock.true)

    def _sweep_and_look_for_room(self, most_bytes: int) -> str:
        """Sweep with nobody else at work: what is old and not yet to be tried again is all that may be left above."""
        sweeping = self.sweeping(None, False)
        sweeping.is_calm, self.world.ticks = True, 0
        sweeping.thread.switch()
        if sweeping.wrong:
            raise WorldWrong(sweeping.wrong)
        said = self.world.log[-1]
        self.world.clock.wait(600)
        if self.world.used_bytes > most_bytes:
            self.calmly("look", lambda process: self._see_that_room_was_made(process, said))
        return said

    def _look(self, process: Process, said: str) -> str:
        run = guard.run_of(process, self.settings, self.file)
        stuck = [entry.key for entry in run.catalogue.in_state(*REPLAY)]
        if stuck:
            raise WorldWrong(f"{stuck[0][:3]} is stuck: {run.catalogue.get(stuck[0])}")
        for key in self.world.store:
            entry = run.catalogue.get(key)
            if entry is None or entry.state not in IN_STORE:
                raise WorldWrong(f"{key[:3]} is in the store, and known as {entry and entry.state}")
        self._see_that_all_is_readable(run)
        return f"all is right; the last sweep {said}"

    def _see_that_all_is_readable(self, run: object) -> None:
        assert isinstance(run, guard.SimulatedRun)
        last = {key: sha256 for (key, sha256), excuse in self.world.accepted.items() if not excuse}
        for key, sha256 in sorted(last.items()):
            if key in self.world.store:
                continue
            _, chunks = recall.read(run, key)
            found = self.world.thing(b"".join(chunks), self.world.clock.true).sha256
            if found != sha256:
                raise WorldWrong(f"{key[:3]} is read as {found[:6]}, and the last that was accepted is {sha256[:6]}")

    def _see_that_room_was_made(self, process: Process, said: str) -> str:
        run, now = guard.run_of(process, self.settings, self.file), self.world.clock.true
        for key, thing in self.world.store.items():
            entry = run.catalogue.get(key)
            at_rest = entry is not None and entry.state in (ObjectState.RESIDENT, ObjectState.PREMIGRATED)
            if entry and self.world.is_untold(entry.stored.last_modified, thing):
                continue
            if at_rest and entry and not entry.held and entry.retry_at is None and now - thing.modified_at > _OLD:
                raise WorldWrong(f"{self.world.used_bytes} bytes are used, {key[:3]} could go, and a sweep {said}")
        return "nothing could go"


_HANDS = (
    *("delete", "overwrite", "fill", "lose_copy", "damage_copy", "back_up_archive", "restore_archive"),
    *("unmount", "forge", "keep_state", "set_back", "clock", "power_cut"),
    *("unmount_store", "back_up_store", "restore_store"),
)


def played(choices: Choices) -> Outcome:
    """Play a whole world; give what was wrong with it."""
    world = World(choices)
    with tempfile.TemporaryDirectory(dir=_FAST if _FAST.is_dir() else None, prefix="exodus-world-") as folder:
        (Path(folder) / "state.db").write_bytes(_template())
        world.prunes = choices.one_in(8)
        source = "budget" if choices.one_in(6) else "filesystem"
        chosen = guard.settings(prunes=world.prunes, premigrate=("20%", "0%")[choices.below(2)], source=source)
        play = Play(world, Path(folder), chosen)
        play.hands = [hand for hand in _HANDS if choices.below(3) == 2]
        world.weak_etags = choices.one_in(4)
        world.keeps_trash = source == "filesystem" and not choices.one_in(3)
        world.archive_room = 300 if choices.one_in(6) else None
        random_bytes = random.Random(0).randbytes  # noqa: S311 - the same world each time
        with guard.behind_doors(world, play.current), patch("secrets.token_bytes", random_bytes):
            wrong = ""
            try:
                play.prepare()
                play.play()
                play.quiet()
            except WorldWrong as found:
                wrong = str(found)
            finally:
                for process in play.processes:
                    process.kill()
    return Outcome(wrong, choices.made, world.log, frozenset(world.events))


def of_seed(seed: int) -> Outcome:
    """Play the world of a seed."""
    return played(Choices.of_seed(seed))
