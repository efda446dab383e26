"""The faces of the command's verbs: one story called, its outcome printed."""

import argparse
import codecs
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from exodus_common.clock import SystemClock
from exodus_common.durable import cannot_write, inherited_descriptor, writing_to
from exodus_common.errors import TryLater, UsageError
from exodus_common.output import complain, say
from exodus_common.render import json_text, printable
from exodus_common.stopping import Stopped, asked
from exodus_storage_guard.admission import promised
from exodus_storage_guard.admission.admissions import Wanted
from exodus_storage_guard.cli import output
from exodus_storage_guard.cli.context import Context
from exodus_storage_guard.errors import ObjectMissing, RecordsFailed, StateFailed, StoreFailed, UploadRefused, Why
from exodus_storage_guard.model import Need, Verdict, worst
from exodus_storage_guard.sizes import shown
from exodus_storage_guard.status import Status, from_fields, status
from exodus_storage_guard.tiering.recall import Recalled

_log = logging.getLogger(__name__)
_LAST_EVENTS = 50
_LOCKED_AGAIN_SECONDS = 5


def _init(context: Context) -> int:
    from exodus_storage_guard.tiering import initialise
    from exodus_storage_guard.tiering.run import Run

    context.refuse_others()
    arguments, run = context.arguments, Run.opened(context.settings, SystemClock())
    found = initialise.initialise(run, new_archive=arguments.new_archive, new_store=arguments.new_store)
    if arguments.json:
        return context.told(json_text({"verdict": Verdict.OK, "objects": found.listed, "reason": found.told}))
    told = f"OK: ready; the store holds {found.listed.count} objects, {shown(found.listed.bytes)}"
    return context.told(f"{told}. {found.told}" if found.told else told)


def _rebuild(context: Context) -> int:
    from exodus_storage_guard.tiering import rebuild

    found = rebuild.rebuild(context.run)
    verdict = Verdict.CRITICAL if found.lost else Verdict.WARNING if found.problems else Verdict.OK
    if context.arguments.json:
        fields = {"verdict": verdict, "objects": found.listed, "archived": found.archived, "new": found.new}
        fields |= {"adopted": found.adopted, "lost": found.lost, "holds_lost": found.anew, "problems": found.problems}
        return context.told(json_text(fields), verdict)
    text = f"{verdict.value.upper()}: {found.listed.count} objects in the store, {found.archived} archived are known"
    text += f", {found.new} of them new from manifests"
    text += f"; {found.adopted} plain files were adopted" if found.adopted else ""
    text += f"; {found.lost} are lost" if found.lost else ""
    if found.anew:
        text += "; holds are not in the archive: hold again, before the next sweep, what is to be held"
    return context.told("\n".join([*map(printable, found.problems), text]), verdict)


def _admit(context: Context) -> int:
    try:
        return _admitted(context)
    except UploadRefused:
        raise
    except TryLater as error:  # the catalogue is locked: whoever uploads is refused as ever
        raise UploadRefused(str(error), _LOCKED_AGAIN_SECONDS, Why.BUSY) from error


def _admitted(context: Context) -> int:
    arguments = context.arguments
    wanted = Wanted(arguments.bytes, arguments.key, arguments.wait, arguments.lease)
    found = context.admissions.admit(wanted)
    if arguments.json:
        say(json_text(found.fields()))
    else:
        say(found.id)
    return 0


def _commit(context: Context) -> int:
    if not context.admissions.commit(context.arguments.reservation, context.arguments.key, context.arguments.bytes):
        raise StoreFailed(
            f"there is no reservation {printable(context.arguments.reservation)} (any more): it had ended"
        )
    return context.told(json_text({"verdict": Verdict.OK}) if context.arguments.json else "OK: committed")


def _release(context: Context) -> int:
    arguments = context.arguments
    if arguments.reservation is None:
        older = None if arguments.all else timedelta(seconds=arguments.older_than)
        count = promised.end(context.control, older)
        reason = f"{count} reservations released"
    else:
        there = context.admissions.release(arguments.reservation)
        reason = "released" if there else "there was no such reservation any more"
    return context.told(json_text({"verdict": Verdict.OK, "reason": reason}) if arguments.json else f"OK: {reason}")


def _reservations(context: Context) -> int:
    service = context.service
    found = [one.fields() for one in promised.promised(context.control)] if service is None else service.reservations()
    return context.told(output.reservations(found, as_json=context.arguments.json))


def _status_of(context: Context) -> Status:
    service = context.service
    return status(context.control) if service is None else from_fields(service.status())


def _status(context: Context) -> int:
    found = _status_of(context)
    return context.told(output.status(found, as_json=context.arguments.json), found.verdict)


def _check(context: Context) -> int:
    text, exit_code = output.check(_status_of(context), "json" if context.arguments.json else context.arguments.format)
    say(text)
    return exit_code


def _plan(context: Context) -> int:
    from exodus_storage_guard.tiering import sweep

    found = sweep.plan(context.run, None if context.arguments.need is None else Need(context.arguments.need))
    return context.told(output.report(found, as_json=context.arguments.json), found.verdict)


def _sweep(context: Context) -> int:
    from exodus_storage_guard.tiering import outcome

    with outcome.noted(context.settings, context.control.catalogue, SystemClock()):
        return _swept(context)


def _swept(context: Context) -> int:
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
    need = None if arguments.need is None else Need(arguments.need, arguments.until_reserved)
    with progress.shown_on(sys.stderr, quiet=arguments.quiet) as told:
        found = sweep.sweep(
            run,
            need,
            premigrated_only=arguments.premigrated_only,
            start_at_high=arguments.start_at_high,
            retry=arguments.retry,
            progress=told,
        )
    if not asked():  # who ended it knows
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

    found, stopped = _as_far_as(verify.verify(context.run, context.arguments.sample))
    wrong = [one for one in found if one.verdict is not Verdict.OK]
    if wrong or not stopped:  # a part of the archive that is right says nothing of the rest
        verdict = worst(one.verdict for one in found)
        alerts.tell("storage-archive", verdict, "; ".join(one.reason for one in wrong[:3]))
    return _told_of_each(context, found, stopped)


def _as_far_as(work: Iterable[Recalled]) -> tuple[Sequence[Recalled], str]:
    """Do something to many objects; give what was done, and why it is not all."""
    found = list[Recalled]()
    try:
        for one in work:
            found.append(one)
    except Stopped as stopped:
        return found, str(stopped)
    return found, ""


def _told_of_each(context: Context, found: Sequence[Recalled], stopped: str) -> int:
    verdict = Verdict.CRITICAL if stopped else worst(one.verdict for one in found)
    return context.told(output.recalled(found, as_json=context.arguments.json, stopped=stopped), verdict)


def _restore(context: Context) -> int:
    from exodus_storage_guard.tiering import recall

    keys = context.arguments.keys
    if not keys:
        raise UsageError("restore: name keys, or --from-list FILE")
    run, control = context.run, context.control
    return _told_of_each(context, *_as_far_as(recall.each(keys, lambda key: recall.restore(run, control, key))))


def read_list(arguments: argparse.Namespace) -> None:
    """Read the keys of a list that was named, as whoever named it: root becomes the guard later."""
    if getattr(arguments, "from_list", None) is not None:
        arguments.keys = [*arguments.keys, *_listed(arguments.from_list)]


def _listed(file: Path) -> Iterator[str]:
    """Read keys, one a line, as any editor writes them; empty lines are passed over."""
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    lines = content.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").split(b"\n")
    yield from (os.fsdecode(line) for line in lines if line)


def _fetch(context: Context) -> int:
    from exodus_storage_guard.tiering import recall

    target: str = context.arguments.file
    found = recall.fetch(context.run, context.arguments.key, "-" if _is_standard_output(target) else target)
    return _told_of(context, output.recalled([found], as_json=context.arguments.json), target)


def _told_of(context: Context, text: str, target: str) -> int:
    """Tell of what was written; beside it, where that went to standard output."""
    if not _is_standard_output(target):
        return context.told(text)
    if not context.arguments.quiet:
        complain(text)
    return 0


def _is_standard_output(target: str) -> bool:
    return target == "-" or inherited_descriptor(Path(target)) == 1


def _hold(context: Context) -> int:
    run, held = context.run, context.arguments.command == "hold"
    keys = dict.fromkeys(context.arguments.keys)
    unknown = [key for key in keys if run.catalogue.get(key) is None]
    count = run.catalogue.hold(list(keys), run.clock.now(), held=held)
    if unknown:
        raise ObjectMissing(f"{_unknown(unknown)}; {count} done")
    word = "held" if held else "no longer held"
    fields = {"verdict": Verdict.OK, "objects": list(keys)}
    return context.told(json_text(fields) if context.arguments.json else f"OK: {count} {word}")


def _unknown(keys: Sequence[str]) -> str:
    return f"not known here: {', '.join(map(printable, keys))} (exodus-storage-guard sync looks for what is new)"


def _forget(context: Context) -> int:
    from exodus_storage_guard.tiering import recall

    if not context.arguments.yes:
        catalogue = context.control.catalogue
        unknown = [key for key in context.arguments.keys if catalogue.get(key) is None]
        if unknown:
            raise ObjectMissing(_unknown(unknown))
        names = ", ".join(map(printable, context.arguments.keys))
        print(f"Remove {names} from the archive for good? Type yes: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip() != "yes":
            raise UsageError("forget: nothing was removed")
    run = context.run
    return _told_of_each(context, *_as_far_as(recall.each(context.arguments.keys, lambda key: recall.forget(run, key))))


def _history(context: Context) -> int:
    key: str | None = context.arguments.key
    found = tuple(context.control.catalogue.history(key))
    if key is not None and not found:
        raise ObjectMissing(_unknown([key]))
    return context.told(output.history(found, as_json=context.arguments.json))


def _report(context: Context) -> int:
    from exodus_storage_guard.cli import page

    control, target = context.control, context.arguments.html
    last = tuple(deque(control.catalogue.history(None), maxlen=_LAST_EVENTS))
    text = page.page(status(control), control.catalogue.samples(), last[::-1], control.clock.now())
    try:
        with writing_to(target, mode=0o644) as file:
            file.write(text.encode("ascii"))
    except OSError as error:
        raise StoreFailed(cannot_write(target, error)) from error
    named = context.arguments.named or str(target)
    fields = {"verdict": Verdict.OK, "file": named}
    told = json_text(fields) if context.arguments.json else f"OK: wrote {printable(named)}"
    return _told_of(context, told, str(target))


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
    "reservations": _reservations,
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
