"""The faces of the command's verbs: one story called, its outcome printed."""

import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from exodus_common.clock import SystemClock
from exodus_common.durable import write_atomically
from exodus_common.errors import UsageError
from exodus_common.render import json_text, printable
from exodus_storage_guard.admission import reservations
from exodus_storage_guard.cli import output
from exodus_storage_guard.cli.context import Context, say
from exodus_storage_guard.errors import RecordsFailed, StateFailed, StoreFailed
from exodus_storage_guard.model import Need, Verdict
from exodus_storage_guard.sizes import shown

_log = logging.getLogger(__name__)
_LAST_EVENTS = 50


def _init(context: Context) -> int:
    from exodus_storage_guard.tiering import initialise
    from exodus_storage_guard.tiering.run import Run

    arguments, run = context.arguments, Run.opened(context.settings, SystemClock())
    found = initialise.initialise(run, new_archive=arguments.new_archive, new_store=arguments.new_store)
    if arguments.json:
        return context.told(json_text({"verdict": Verdict.OK, "objects": found.listed, "reason": found.told}))
    told = f"OK: ready; the store holds {found.listed.count} objects, {shown(found.listed.bytes)}"
    return context.told(f"{told}. {found.told}" if found.told else told)


def _rebuild(context: Context) -> int:
    from exodus_storage_guard.tiering import rebuild

    found = rebuild.rebuild(context.run)
    verdict = Verdict.WARNING if found.problems else Verdict.OK
    if context.arguments.json:
        fields = {"verdict": verdict, "objects": found.listed, "archived": found.archived}
        fields |= {"adopted": found.adopted, "problems": found.problems}
        return context.told(json_text(fields), verdict)
    text = f"{verdict.value.upper()}: {found.listed.count} objects in the store, {found.archived} known from manifests"
    if found.adopted:
        text += f", {found.adopted} of them plain files that were adopted"
    return context.told("\n".join([*map(printable, found.problems), text]), verdict)


def _admit(context: Context) -> int:
    arguments, control = context.arguments, context.control
    wanted = reservations.request(control, arguments.bytes, arguments.key, lease_seconds=arguments.lease)
    admitted = reservations.admit(control, wanted, wait_seconds=arguments.wait)
    found = admitted.reservation
    if arguments.json:
        fields = {"reservation": found.id, "bytes": found.bytes, "expires_at": found.expires_at}
        say(json_text({**fields, "freed_bytes": admitted.freed_bytes}))
    else:
        say(found.id)
    return 0


def _commit(context: Context) -> int:
    if not reservations.commit(context.control, context.arguments.reservation, context.arguments.key):
        raise StoreFailed(
            f"there is no reservation {printable(context.arguments.reservation)} (any more): it had ended"
        )
    return context.told(json_text({"verdict": Verdict.OK}) if context.arguments.json else "OK: committed")


def _release(context: Context) -> int:
    there = reservations.release(context.control, context.arguments.reservation)
    reason = "released" if there else "there was no such reservation any more"
    return context.told(
        json_text({"verdict": Verdict.OK, "reason": reason}) if context.arguments.json else f"OK: {reason}"
    )


def _status(context: Context) -> int:
    from exodus_storage_guard import status

    found = status.status(context.control)
    return context.told(output.status(found, as_json=context.arguments.json), found.verdict)


def _check(context: Context) -> int:
    from exodus_storage_guard import status

    text, exit_code = output.check(
        status.status(context.control), "json" if context.arguments.json else context.arguments.format
    )
    say(text)
    return exit_code


def _plan(context: Context) -> int:
    from exodus_storage_guard.tiering import sweep

    found = sweep.plan(context.run, None if context.arguments.need is None else Need(context.arguments.need))
    return context.told(output.report(found, as_json=context.arguments.json), found.verdict)


def _sweep(context: Context) -> int:
    from exodus_storage_guard import alerts
    from exodus_storage_guard.cli import progress
    from exodus_storage_guard.tiering import sweep
    from exodus_storage_guard.tiering.sync import sync

    arguments, run = context.arguments, context.run
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
    alerts.tell("storage-sweep", found.verdict, found.reason)
    return context.told(output.report(found, as_json=arguments.json), found.verdict)


def _sync(context: Context) -> int:
    from exodus_storage_guard.tiering.sync import sync

    found = sync(context.run, emptied=context.arguments.emptied)
    if context.arguments.json:
        return context.told(json_text({"verdict": Verdict.OK, "objects": found.listed, "changes": found.changes}))
    changes = ", ".join(f"{count} {what}" for what, count in found.changes.items()) or "nothing new"
    return context.told(f"OK: {found.listed.count} objects, {shown(found.listed.bytes)}: {changes}")


def _verify(context: Context) -> int:
    from exodus_storage_guard import alerts
    from exodus_storage_guard.tiering import verify

    found = tuple(verify.verify(context.run, context.arguments.sample))
    verdict = output.worst([one.verdict for one in found])
    wrong = [one.reason for one in found if one.verdict is not Verdict.OK]
    alerts.tell("storage-archive", verdict, "; ".join(wrong[:3]))
    return context.told(output.recalled(found, as_json=context.arguments.json), verdict)


def _restore(context: Context) -> int:
    from exodus_storage_guard.tiering import recall

    keys = [*context.arguments.keys, *_listed(context.arguments.from_list)]
    if not keys:
        raise UsageError("restore: name keys, or --from-list FILE")
    run, control = context.run, context.control
    found = recall.each(keys, lambda key: recall.restore(run, control, key))
    return context.told(
        output.recalled(found, as_json=context.arguments.json), output.worst([one.verdict for one in found])
    )


def _listed(file: Path | None) -> Iterator[str]:
    """Read keys, one a line; empty lines are passed over."""
    if file is None:
        return
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    yield from (os.fsdecode(line) for line in content.split(b"\n") if line)


def _fetch(context: Context) -> int:
    from exodus_storage_guard.tiering import recall

    found = (recall.fetch(context.run, context.arguments.key, context.arguments.file),)
    text = output.recalled(found, as_json=context.arguments.json)
    if context.arguments.file == "-":
        print(text, file=sys.stderr)
        return 0
    return context.told(text)


def _hold(context: Context) -> int:
    run, held = context.run, context.arguments.command == "hold"
    keys = dict.fromkeys(context.arguments.keys)
    unknown = [key for key in keys if run.catalogue.get(key) is None]
    count = run.catalogue.hold(list(keys), run.clock.now(), held=held)
    if unknown:
        names = ", ".join(map(printable, unknown))
        raise StoreFailed(f"not known here: {names} (exodus-storage-guard sync looks for what is new); {count} done")
    word = "held" if held else "no longer held"
    fields = {"verdict": Verdict.OK, "objects": list(keys)}
    return context.told(json_text(fields) if context.arguments.json else f"OK: {count} {word}")


def _forget(context: Context) -> int:
    from exodus_storage_guard.tiering import recall

    if not context.arguments.yes:
        names = ", ".join(map(printable, context.arguments.keys))
        print(f"Remove {names} from the archive for good? Type yes: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip() != "yes":
            raise UsageError("forget: nothing was removed")
    run = context.run
    found = recall.each(context.arguments.keys, lambda key: recall.forget(run, key))
    return context.told(
        output.recalled(found, as_json=context.arguments.json), output.worst([one.verdict for one in found])
    )


def _history(context: Context) -> int:
    found = tuple(context.control.catalogue.history(context.arguments.key))
    return context.told(output.history(found, as_json=context.arguments.json))


def _report(context: Context) -> int:
    from exodus_storage_guard import status
    from exodus_storage_guard.cli import page

    control, target = context.control, context.arguments.html
    last = tuple(deque(control.catalogue.history(None), maxlen=_LAST_EVENTS))
    text = page.page(status.status(control), control.catalogue.samples(), last[::-1], control.clock.now())
    try:
        write_atomically(target, text.encode("ascii"))
    except OSError as error:
        raise StoreFailed(f"cannot write {printable(str(target))}: {error.strerror}") from error
    fields = {"verdict": Verdict.OK, "file": target}
    return context.told(json_text(fields) if context.arguments.json else f"OK: wrote {printable(str(target))}")


def _serve(context: Context) -> int:
    from exodus_storage_guard.adapters.service.server import serve
    from exodus_storage_guard.adapters.service.service import GuardService

    serve(GuardService(context.settings, context.config), os.environ)
    return 0


FACES: dict[str, Callable[[Context], int]] = {
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
