"""Delete a batch of objects by requests that carry each key unchanged.

What deletes many is XML, whose readers make a line feed of a carriage return, and so name another object; some
characters it cannot carry at all. The URL that deletes one object carries every key.
"""

from collections.abc import Callable, Mapping, Sequence

from exodus_common.errors import ExodusError
from exodus_storage_guard.errors import KeyRefused
from exodus_storage_guard.stores.s3.errors import RequestRefused

Named = tuple[str, str | None]
"""A name and a version, None where the bucket keeps none."""


def deleted(
    names: Sequence[Named],
    remove_many: Callable[[Sequence[Named]], Mapping[str, ExodusError]],
    remove: Callable[[str, str | None], None],
) -> dict[str, ExodusError]:
    """Delete objects in one request, and by one each those whose keys it cannot carry; give what failed, by name.

    Raises what `remove_many` raises where it is not known what became of the batch.
    """
    failed = dict[str, ExodusError]()
    for name, version in names:
        if not carries(name):
            try:
                remove(name, version)
            except ExodusError as error:
                failed[name] = error
    return failed | _batch([one for one in names if carries(one[0])], remove_many)


def carries(name: str) -> bool:
    """Tell whether every reader of XML reads this very name; of control characters and the like, not every one does."""
    return name.isprintable() and name == name.strip()


def _batch(
    names: Sequence[Named], remove_many: Callable[[Sequence[Named]], Mapping[str, ExodusError]]
) -> dict[str, ExodusError]:
    """Halve a batch that is refused as a whole, until the one is found that it is refused for."""
    if not names:
        return {}
    try:
        return dict(remove_many(names))
    except (RequestRefused, KeyRefused) as error:
        if len(names) == 1:
            return {names[0][0]: error}
    half = len(names) // 2
    return {**_batch(names[:half], remove_many), **_batch(names[half:], remove_many)}
