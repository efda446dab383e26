"""Say which state follows which: the one table that every change of an object's state goes through.

Who begins an effect outside (a copy, a deletion, a recall) first writes the state that announces it. Whoever comes
after a crash finds that state, and `REPLAY` says what to look at to bring it to an end.
"""

from collections.abc import Mapping
from enum import StrEnum

from exodus_storage_guard.model import ObjectState as State


class Event(StrEnum):
    """Name what happened to an object."""

    FOUND = "found"
    RETURNED = "returned"
    CHANGED = "changed"
    VANISHED = "vanished"
    COPY_BEGUN = "copy-begun"
    COPY_PROVEN = "copy-proven"
    COPY_FAILED = "copy-failed"
    COPY_DIFFERED = "copy-differed"
    COPY_ABANDONED = "copy-abandoned"
    RELEASE_BEGUN = "release-begun"
    RELEASED = "released"
    RELEASE_FAILED = "release-failed"
    PRUNE_BEGUN = "prune-begun"
    PRUNED = "pruned"
    PRUNE_FAILED = "prune-failed"
    RECALL_BEGUN = "recall-begun"
    RECALLED = "recalled"
    RECALL_FAILED = "recall-failed"
    COPY_LOST = "copy-lost"
    COPY_FOUND = "copy-found"
    FORGOTTEN = "forgotten"
    ARCHIVE_CHANGED = "archive-changed"


class Replay(StrEnum):
    """Say how whoever comes after a crash finds out what became of an effect."""

    COPY = "begin the copy again: what is in the archive was never proven"
    RELEASE = "look into the store: gone means released, else it was not"
    RECALL = "look into the store: there means recalled, else it was not"


TRANSITIONS: Mapping[Event, Mapping[State, State]] = {
    Event.FOUND: {
        State.GONE: State.RESIDENT,
        State.LOST: State.RESIDENT,
        State.ARCHIVED: State.RESIDENT,
    },
    Event.RETURNED: {State.ARCHIVED: State.PREMIGRATED},
    Event.CHANGED: {
        State.RESIDENT: State.RESIDENT,
        State.PREMIGRATED: State.RESIDENT,
        State.FAILED: State.RESIDENT,
        State.QUARANTINED: State.RESIDENT,
    },
    Event.VANISHED: {
        State.RESIDENT: State.GONE,
        State.FAILED: State.GONE,
        State.QUARANTINED: State.GONE,
        State.PREMIGRATED: State.ARCHIVED,
    },
    Event.COPY_BEGUN: {
        State.RESIDENT: State.COPYING,
        State.FAILED: State.COPYING,
        State.QUARANTINED: State.COPYING,
    },
    Event.COPY_PROVEN: {State.COPYING: State.PREMIGRATED},
    Event.COPY_FAILED: {State.COPYING: State.FAILED},
    Event.COPY_DIFFERED: {State.COPYING: State.QUARANTINED, State.RELEASING: State.QUARANTINED},
    Event.COPY_ABANDONED: {State.COPYING: State.RESIDENT},
    Event.RELEASE_BEGUN: {State.PREMIGRATED: State.RELEASING},
    Event.RELEASED: {State.RELEASING: State.ARCHIVED},
    Event.RELEASE_FAILED: {State.RELEASING: State.PREMIGRATED},
    Event.PRUNE_BEGUN: {
        State.RESIDENT: State.RELEASING,
        State.FAILED: State.RELEASING,
        State.QUARANTINED: State.RELEASING,
    },
    Event.PRUNED: {State.RELEASING: State.GONE},
    Event.PRUNE_FAILED: {State.RELEASING: State.RESIDENT},
    Event.RECALL_BEGUN: {State.ARCHIVED: State.RECALLING},
    Event.RECALLED: {State.RECALLING: State.PREMIGRATED},
    Event.RECALL_FAILED: {State.RECALLING: State.ARCHIVED},
    Event.COPY_LOST: {
        State.ARCHIVED: State.LOST,
        State.PREMIGRATED: State.RESIDENT,
        State.RELEASING: State.RESIDENT,
    },
    Event.COPY_FOUND: {State.GONE: State.ARCHIVED, State.LOST: State.ARCHIVED, State.RESIDENT: State.PREMIGRATED},
    Event.FORGOTTEN: {
        State.ARCHIVED: State.GONE,
        State.LOST: State.GONE,
        State.GONE: State.GONE,
    },
    Event.ARCHIVE_CHANGED: {State.ARCHIVED: State.ARCHIVED, State.LOST: State.LOST, State.PREMIGRATED: State.RESIDENT},
}

REPLAY: Mapping[State, Replay] = {
    State.COPYING: Replay.COPY,
    State.RELEASING: Replay.RELEASE,
    State.RECALLING: Replay.RECALL,
}
"""The states that announce an effect: whoever is in one has an owner, or is replayed."""


def after(state: State, event: Event) -> State:
    """Give the state that follows; raise `ValueError` where the event cannot happen there."""
    try:
        return TRANSITIONS[event][state]
    except KeyError:
        raise ValueError(f"an object that is {state} cannot be {event}") from None
