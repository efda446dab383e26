"""The faces of the command's verbs: one story called, its outcome printed."""

import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from exodus_common.durable import write_atomically
from exodus_common.errors import UsageError
from exodus_common.render import json_text, printable
from exodus_storage_guard.admission import admit as admission
from exodus_storage_guard.cli import output
from exodus_storage_guard.cli.context import Call, say
from exodus_storage_guard.errors import RecordsFailed, StateFailed, StoreFailed
from exodus_storage_guard.model import Need, Verdict
from exodus_storage_guard.sizes import shown

_log = logging.getLogger(__name__)
_LAST_EVENTS = 50


def _init(call: Call) -> int:
    from exodus_storage_guard.tiering import rebuild

    found = rebuild.initialise(call.run)
    if call.arguments.json:
        return call.told(json_text({"verdict": Verdict.OK, "objects": found.listed}))
    return call.told(f"OK: ready; the store holds {found.listed.count} objects, {shown(found.listed.bytes)}")


def _rebuild(call: Call) -> int:
    from exodus_storage_guard.tiering import rebuild

    found = rebuild.rebuild(call.run)
    verdict = Verdict.WARNING if found.problems else Verdict.OK
    if call.arguments.json:
        fields = {"verdict": verdict, "objects": found.listed, "archived": found.archived}
        fields |= {"adopted": found.adopted, "problems": found.problems}
        return call.told(json_text(fields), verdict)
    text = f"{verdict.value.upper()}: {found.listed.count} objects in the store, {found.archived} known from manifests"
    if found.adopted:
        text += f", {found.adopted} of them plain files that were adopted"
    return call.told("\n".join([*map(printable, found.problems), text]), verdict)


def _admit(call: Call) -> int:
    arguments, desk = call.arguments, call.desk
    wanted = admission.request(desk, arguments.bytes, arguments.key, lease_seconds=arguments.lease)
    admitted = admission.admit(desk, wanted, wait_seconds=arguments.wait)
    found = admitted.reservation
    if arguments.json:
        fields = {"reservation": found.id, "bytes": found.bytes, "expires_at": found.expires_at}
        say(json_text({**fields, "freed_bytes": admitted.freed_bytes}))
    else:
        say(found.id)
    return 0


def _commit(call: Call) -> int:
    if not admission.commit(call.desk, call.arguments.reservation, call.arguments.key):
        raise StoreFailed(f"there is no reservation {printable(call.arguments.reservation)} (any more): it had ended")
    return call.told(json_text({"verdict": Verdict.OK}) if call.arguments.json else "OK: committed")


def _release(call: Call) -> int:
    there = admission.release(call.desk, call.arguments.reservation)
    reason = "released" if there else "there was no such reservation any more"
    return call.told(json_text({"verdict": Verdict.OK, "reason": reason}) if call.arguments.json else f"OK: {reason}")


def _status(call: Call) -> int:
    from exodus_storage_guard import status

    found = status.status(call.desk)
    return call.told(output.status(found, as_json=call.arguments.json), found.verdict)


def _check(call: Call) -> int:
    from exodus_storage_guard import status

    text, exit_code = output.check(status.status(call.desk), "json" if call.arguments.json else call.arguments.format)
    say(text)
    return exit_code


def _plan(call: Call) -> int:
    from exodus_storage_guard.tiering import sweep

    found = sweep.plan(call.run, None if call.arguments.need is None else Need(call.arguments.need))
    return call.told(output.report(found, as_json=call.arguments.json), found.verdict)


def _sweep(call: Call) -> int:
    from exodus_storage_guard import alerts as telling
    from exodus_storage_guard.cli import progress
    from exodus_storage_guard.tiering import sweep
    from exodus_storage_guard.tiering.sync import sync

    arguments, run = call.arguments, call.run
    if arguments.need is None and not arguments.premigrated_only:
        try:
            sync(run)
        except (StateFailed, RecordsFailed) as error:  # a full disk has no room for a listing: sweeping makes some
            _log.warning("the store was not listed, and the sweep goes by what is known: %s", error)
    with progress.shown_on(sys.stderr, quiet=arguments.quiet) as told:
        found = sweep.sweep(
            run,
            None if arguments.need is None else Need(arguments.need, arguments.until_reserved),
            premigrated_only=arguments.premigrated_only,
            start_at_high=arguments.start_at_high,
            progress=told,
        )
    telling.tell("storage-sweep", found.verdict, found.reason)
    return call.told(output.report(found, as_json=arguments.json), found.verdict)


def _sync(call: Call) -> int:
    from exodus_storage_guard.tiering.sync import sync

    found = sync(call.run, emptied=call.arguments.emptied)
    if call.arguments.json:
        return call.told(json_text({"verdict": Verdict.OK, "objects": found.listed, "changes": found.changes}))
    changes = ", ".join(f"{count} {what}" for what, count in found.changes.items()) or "nothing new"
    return call.told(f"OK: {found.listed.count} objects, {shown(found.listed.bytes)}: {changes}")


def _verify(call: Call) -> int:
    from exodus_storage_guard import alerts as telling
    from exodus_storage_guard.tiering import verify

    found = tuple(verify.verify(call.run, call.arguments.sample))
    verdict = output.worst([one.verdict for one in found])
    wrong = [one.reason for one in found if one.verdict is not Verdict.OK]
    telling.tell("storage-archive", verdict, "; ".join(wrong[:3]))
    return call.told(output.recalled(found, as_json=call.arguments.json), verdict)


def _restore(call: Call) -> int:
    from exodus_storage_guard.tiering import recall

    keys = [*call.arguments.keys, *_listed(call.arguments.from_list)]
    if not keys:
        raise UsageError("restore: name keys, or --from-list FILE")
    run, desk = call.run, call.desk
    found = recall.each(keys, lambda key: recall.restore(run, desk, key))
    return call.told(output.recalled(found, as_json=call.arguments.json), output.worst([one.verdict for one in found]))


def _listed(file: Path | None) -> Iterator[str]:
    """Read keys, one a line; empty lines are passed over."""
    if file is None:
        return
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    yield from (os.fsdecode(line) for line in content.split(b"\n") if line)


def _fetch(call: Call) -> int:
    from exodus_storage_guard.tiering import recall

    found = (recall.fetch(call.run, call.arguments.key, call.arguments.file),)
    text = output.recalled(found, as_json=call.arguments.json)
    if call.arguments.file == "-":
        print(text, file=sys.stderr)
        return 0
    return call.told(text)


def _hold(call: Call) -> int:
    run, held = call.run, call.arguments.command == "hold"
    keys = dict.fromkeys(call.arguments.keys)
    unknown = [key for key in keys if run.catalogue.get(key) is None]
    count = run.catalogue.hold(list(keys), run.clock.now(), held=held)
    if unknown:
        names = ", ".join(map(printable, unknown))
        raise StoreFailed(f"not known here: {names} (exodus-storage-guard sync looks for what is new); {count} done")
    word = "held" if held else "no longer held"
    fields = {"verdict": Verdict.OK, "objects": list(keys)}
    return call.told(json_text(fields) if call.arguments.json else f"OK: {count} {word}")


def _forget(call: Call) -> int:
    from exodus_storage_guard.tiering import recall

    if not call.arguments.yes:
        names = ", ".join(map(printable, call.arguments.keys))
        print(f"Remove {names} from the archive for good? Type yes: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip() != "yes":
            raise UsageError("forget: nothing was removed")
    run = call.run
    found = recall.each(call.arguments.keys, lambda key: recall.forget(run, key))
    return call.told(output.recalled(found, as_json=call.arguments.json), output.worst([one.verdict for one in found]))


def _history(call: Call) -> int:
    found = tuple(call.desk.catalogue.history(call.arguments.key))
    return call.told(output.history(found, as_json=call.arguments.json))


def _report(call: Call) -> int:
    from exodus_storage_guard import status
    from exodus_storage_guard.cli import page

    desk, target = call.desk, call.arguments.html
    last = tuple(deque(desk.catalogue.history(None), maxlen=_LAST_EVENTS))
    text = page.page(status.status(desk), desk.catalogue.samples(), last[::-1], desk.clock.now())
    try:
        write_atomically(target, text.encode("ascii"))
    except OSError as error:
        raise StoreFailed(f"cannot write {printable(str(target))}: {error.strerror}") from error
    fields = {"verdict": Verdict.OK, "file": target}
    return call.told(json_text(fields) if call.arguments.json else f"OK: wrote {printable(str(target))}")


def _serve(call: Call) -> int:
    from exodus_storage_guard.adapters.service.server import serve
    from exodus_storage_guard.adapters.service.service import Steward

    serve(Steward(call.settings, call.config), os.environ)
    return 0


FACES: dict[str, Callable[[Call], int]] = {
    "init": _init,
    "admit": _admit,
    "commit": _commit,
    "release": _release,
    "status": _status,
    "check": _check,
    "plan": _plan,
    "sweep": _sweep,
    "sync": _sync,
    "verify": _verify,
    "restore": _restore,
    "fetch": _fetch,
    "hold": _hold,
    "unhold": _hold,
    "forget": _forget,
    "history": _history,
    "rebuild": _rebuild,
    "report": _report,
    "serve": _serve,
}
