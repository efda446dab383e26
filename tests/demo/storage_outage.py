"""The disk-full outage of January 2019, on a folder of APKs: as it was, and with exodus-storage-guard.

Run as `make demo`. Everything happens in a temporary folder that is gone afterwards. What is told is checked while
it is told, by looking at the files themselves; it exits with 1 at the first step that does not happen.
"""

import json
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "hooks")]

from tests.demo.telling import Step, Teller, play, tell  # noqa: E402 - after the path is set
from tests.parts.certbot import write_program  # noqa: E402
from tests.parts.command import Ran  # noqa: E402
from tests.parts.guard import MIB, Guarded, apk_key, sha256_of  # noqa: E402
from tests.parts.processes import run  # noqa: E402

_COUNT, _NEW, _LOW_MIB = 97, 200, 75


@dataclass
class Stage:
    """Where the story plays, and what was in the store when it began."""

    teller: Teller
    guarded: Guarded
    before: dict[str, str]

    def type(self, command: str) -> Ran:
        """Run a command exactly as it is shown, and show what it prints."""
        self.teller.typed(command)
        folder = self.guarded.folder
        environment = self.guarded.environment
        path = {"PATH": f"{folder}/bin:{environment['PATH']}"}
        there = f"cd {shlex.quote(str(folder))} && {command}"
        ran = run(["/bin/sh", "-c", there], env=environment | path, together=True)
        self.teller.output(ran.stdout)
        return ran

    def saw(self, held: bool, claim: str, otherwise: str = "") -> None:
        self.teller.saw(held, claim, otherwise)

    def oldest(self, count: int) -> set[str]:
        return {apk_key(number) for number in range(count)}


def main() -> int:
    """Tell the story; give the exit code."""
    return tell(_story)


def _story(teller: Teller) -> int:
    begin = time.monotonic()
    with TemporaryDirectory(prefix="exodus-demo-") as folder:
        guarded = Guarded(Path(folder)).write()
        guarded.fill(_COUNT)
        guarded.put(apk_key(0).replace(".apk", ".clist"), size=100)
        guarded.put("fdroid_index.xml", size=100)
        checkout = [sys.executable, "-P", "-m", "exodus_storage_guard"]
        paths = f"{ROOT}:{ROOT / 'hooks'}"
        write_program(guarded.folder / "bin/exodus-storage-guard", *checkout, PYTHONPATH=paths)
        stage = Stage(teller, guarded, {key: sha256_of(guarded.store / key) for key in guarded.stored()})
        _introduce(stage)
        steps = _steps(stage)
        exit_code = play(teller, steps, lambda: guarded("history").stdout[-3000:])
    if exit_code == 0:
        assert not Path(folder).exists()
        teller.line(f"{time.monotonic() - begin:.0f} seconds; {folder} is removed.")
        teller.line(f"All {len(steps)} steps happened.")
    return exit_code


def _steps(stage: Stage) -> list[tuple[str, Step]]:
    return [
        ("The guard gets to know the store", lambda: get_to_know(stage)),
        ("January 2019: there is no room, and the upload is refused clearly", lambda: refuse(stage)),
        ("It is told to wait: the oldest are archived, proven and released", lambda: make_room(stage)),
        ("A copy in the archive goes bad, and somebody notices", lambda: notice(stage)),
        ("Everything comes back, byte for byte", lambda: bring_back(stage)),
    ]


def _introduce(stage: Stage) -> None:
    stage.teller.title("The disk-full outage of January 2019, played on this machine")
    stage.teller.say(
        f"A store that may hold 100 MiB holds {_COUNT} APKs of 1 MiB each, from 400 days old to one day, an app's "
        "class list and the F-Droid index. In 2019 nobody knew before the disk was full; the cure was a find -mtime "
        f"+180, an rsync of eight hours, and a removal that nothing verified. It plays in {stage.guarded.folder}."
    )


def get_to_know(stage: Stage) -> None:
    stage.saw(stage.type("exodus-storage-guard init").exit_code == 0, "exit code 0: settings, store and archive work\n")
    status = stage.type("exodus-storage-guard status")
    stage.saw(status.exit_code == 1, "exit code 1: monitoring notices before an upload does")
    stage.saw("above the flood watermark" in status.stdout, "it says why")


def refuse(stage: Stage) -> None:
    stage.teller.say("The upload handler asks before it accepts an APK of 5 MiB, and does not want to wait.")
    refused = stage.type("exodus-storage-guard admit --bytes '5 MiB'")
    stage.saw(refused.exit_code == 75, "exit code 75: not now, try again later", f"It was {refused.exit_code}.")
    stage.saw("try again in" in refused.stdout, "it says when to come back; a sweep has begun meanwhile")


def make_room(stage: Stage) -> None:
    guarded = stage.guarded
    admitted = stage.type("exodus-storage-guard admit --bytes '5 MiB' --wait 60")
    stage.saw(admitted.exit_code == 0, "exit code 0: there is room, and it is reserved")
    guarded.wait_until_at_rest()
    archived = guarded.archived()
    count = len(archived)
    stage.saw(set(archived) == stage.oldest(count) and count > 0, f"exactly the {count} oldest APKs are in the archive")
    same = archived == {key: stage.before[key] for key in archived}
    stage.saw(same, "our own SHA-256 of each copy is the one of the original")
    stage.saw(
        guarded.stored() == set(stage.before) - set(archived), "they are gone from the store, and nothing else is\n"
    )
    stage.teller.say("A stored upload is committed; here it did not happen, and its room is given back.")
    released = stage.type(f"exodus-storage-guard release {admitted.stdout.split()[-1]}")
    stage.saw(released.exit_code == 0, "released")
    swept = stage.type("exodus-storage-guard sweep | tail -n 1")
    left_bytes = sum(path.stat().st_size for path in guarded.store.iterdir())
    at_low = "OK:" in swept.stdout and left_bytes <= _LOW_MIB * MIB
    stage.saw(at_low, f"the store is down at the low watermark, {_LOW_MIB} MiB", f"It holds {left_bytes} bytes.")


def notice(stage: Stage) -> None:
    guarded, key = stage.guarded, apk_key(3)
    with (guarded.archive / key).open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    stage.teller.say("One bit turns over in an archived copy, as disks do.")
    verified = stage.type("exodus-storage-guard verify")
    stage.saw(verified.exit_code == 1 and key in verified.stdout, "verify names the copy, and exits with 1")
    with (guarded.archive / key).open("r+b") as file:
        file.write(first)
    stage.teller.line()
    stage.teller.say("The operator gets that one from a backup of the archive.")
    stage.saw(stage.type("exodus-storage-guard verify").exit_code == 0, "all copies are right again")


def bring_back(stage: Stage) -> None:
    guarded = stage.guarded
    manifest = json.loads((guarded.archive / f"{apk_key(0)}.manifest.json").read_text())
    stage.saw(
        manifest["sha256"] == stage.before[apk_key(0)], "a manifest beside each copy says what it is, without us\n"
    )
    stage.teller.say("A larger disk has come: the settings say 200 MiB now. All that was archived is restored.")
    guarded.write(capacity={"total_bytes": f"{_NEW} MiB"})
    (guarded.folder / "list").write_text("\n".join(guarded.archived()))
    restored = stage.type("exodus-storage-guard restore --from-list list | tail -n 1")
    stage.saw(restored.exit_code == 0, "restored, under a hold: the next sweep leaves them")
    now = {key: sha256_of(guarded.store / key) for key in guarded.stored()}
    stage.saw(now == stage.before, f"all {len(stage.before)} files are what they were when the story began")
    assert sum(path.stat().st_size for path in guarded.store.iterdir()) > _COUNT * MIB


if __name__ == "__main__":
    sys.exit(main())
