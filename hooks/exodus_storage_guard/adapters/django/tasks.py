"""A task that fetches a file and stores it on behalf of a row of the platform's, which a page shows meanwhile.

    @app.task(base=SubmissionTask, submission="query", ignore_result=True)
    def start_static_analysis(params): ...

asks for room before the file is fetched, is tried again while room is being made, and tells the row how it goes.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from inspect import signature
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any

from celery.signals import task_revoked
from django.apps import apps
from django.db import close_old_connections, connections
from django.db.models import Model

from exodus_storage_guard import words
from exodus_storage_guard.adapters.celery import GuardedTask
from exodus_storage_guard.errors import UploadRefused

_log = logging.getLogger(__name__)


class SubmissionTask(GuardedTask):
    """Run a task within a reservation, and have the row it works for say how it goes, also where it is revoked.

    What differs from platform to platform is given to the decorator, or set in a class of its own:

    `submission`: where the first argument has the row, as attributes with dots between; '' where it is the row, or its
    primary key of `model` ("app_label.Model"). `ends`: what a row says of which nothing more comes. `says`: its field
    for a sentence; the sentences are in English, as the messages of a catalogue: the page translates them. `file`: its
    field for a file that came by a form, which has the size, and is removed at the end. `folder`: where the first
    argument names the folder of the worker's files: it is removed, where it is one for temporary files.

    A task that ends in any other error, or is revoked, or expires, says so in its row as well.
    """

    abstract = True
    max_retries = 10
    submission: str = ""
    model: str = ""
    ends: Mapping[str, Any] = MappingProxyType({"processed": True, "in_error": True})
    says: str = "description"
    file: str = "apk"
    folder: str = "tmp_dir"

    def upload_bytes(self, *args: Any, **kwargs: Any) -> int | None:
        """Take the size of a file that came by a form; one that is yet to be fetched is estimated."""
        row = self.row(self._first(args, kwargs))
        file = None if row is None else getattr(row, self.file, None)
        return int(file.size) if file else None

    def row(self, what: Any) -> Model | None:
        """Read the row anew: what came with the message is as it was when it was sent."""
        found = attrgetter(self.submission)(what) if self.submission else what
        kind = type(found) if isinstance(found, Model) else apps.get_model(self.model)
        key = found.pk if isinstance(found, Model) else found
        row: Model | None = kind._default_manager.filter(pk=key).first()
        return row

    def on_waiting(self, refusal: UploadRefused, *args: Any, **kwargs: Any) -> None:
        """Have the row say that it is tried again."""
        self._tell(self._first(args, kwargs), words.waiting(), {})

    def on_refused(self, refusal: UploadRefused, *args: Any, **kwargs: Any) -> None:
        """Have the row say why it ended."""
        self._give_up(self._first(args, kwargs), words.given_up(refusal))

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Have the row say that it ended, whatever ended it."""
        super().on_failure(exc, task_id, args, kwargs, einfo)
        if not isinstance(exc, UploadRefused):
            self._give_up(self._first(args, kwargs), words.failed())

    def on_revoked(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Have the row say that it ended: it was revoked, or its message came too late."""
        self._give_up(self._first(args, kwargs), words.failed())

    def _first(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Give the body's first argument, whether it was sent by its place or by its name."""
        return args[0] if args else kwargs[next(iter(signature(self.run).parameters))]

    def _give_up(self, what: Any, sentence: str) -> None:
        row = self._tell(what, sentence, self.ends)
        file = None if row is None else getattr(row, self.file, None)
        if file:
            file.delete(save=True)
        self._remove_folder(getattr(what, self.folder, None))

    def _tell(self, what: Any, sentence: str, fields: Mapping[str, Any]) -> Model | None:
        row = self.row(what)
        if row is None:
            _log.warning("%s: its row is gone: nobody can be told %r", self.name, sentence)
            return None
        said = {self.says: sentence, **fields}
        for name, value in said.items():
            setattr(row, name, value)
        row.save(update_fields=list(said))
        return row

    def _remove_folder(self, named: object) -> None:
        """Remove a worker's folder, where it is one of its own: the name came with a message."""
        if not isinstance(named, str | os.PathLike):
            return
        folder, temporary = Path(named), Path(tempfile.gettempdir())
        if folder.parent == temporary and folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)


@task_revoked.connect
def _tell_revoked(sender: object, request: Any, **more: object) -> None:
    """Tell the row; Celery calls no method of the task's then.

    We are in a worker's first process here: the next one that it forks must inherit no connection to the database.
    """
    if not isinstance(sender, SubmissionTask):
        return
    close_old_connections()
    try:
        sender.on_revoked(request.args, request.kwargs)
    finally:
        connections.close_all()
