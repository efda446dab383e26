"""What the command line of `exodus-storage-guard` may say."""

import argparse
from collections.abc import Callable
from pathlib import Path

from exodus_common import __version__
from exodus_common.durable import inherited_descriptor
from exodus_storage_guard import settings
from exodus_storage_guard.sizes import ALLOWED, parse_bytes

_HELP = {
    "init": "once: try the settings, mark the archive, make the state and the first catalogue",
    "admit": "reserve room for an upload; prints the reservation's id, or exits with 75",
    "commit": "say that an upload is stored",
    "release": "say that an upload did not happen; or end all that is promised",
    "reservations": "what is promised to whom, and until when",
    "status": "how full the store is, what is archived, when it will be full",
    "check": "the same for monitoring",
    "plan": "what a sweep would do, and why the rest would stay; changes nothing",
    "sweep": "archive, prove and release the oldest, down to the low watermark",
    "sync": "bring the catalogue in line with the store",
    "verify": "read archived copies again and compare them",
    "restore": "put archived objects back into the store, under a hold",
    "fetch": "write an object to a file (-: standard output)",
    "hold": "protect objects from every sweep",
    "unhold": "lift that protection",
    "forget": "remove archived objects for good",
    "serve": "the same admission over HTTP on a Unix socket, until told to end",
    "history": "what was done, to one object or all",
    "report": "a page with plots",
    "config": "the settings: whether they are right, or which are in force and where each comes from",
    "rebuild": "make a lost catalogue anew from the archive's manifests and the store",
}


def parser() -> argparse.ArgumentParser:
    """Describe the commands and their options, which CONTRACT.md fixes."""
    parser = argparse.ArgumentParser(
        prog="exodus-storage-guard",
        description="Make room for every upload before it is accepted, and lose nothing.",
        epilog="Exit codes: 0 done, 1 promise not kept, 2 wrong usage, 75 not now, 78 settings are wrong.",
        parents=[_common_options()],
    )
    parser.set_defaults(json=False, quiet=False, verbose=False, config=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    of = {name: commands.add_parser(name, parents=[_common_options()], help=text) for name, text in _HELP.items()}
    _admission_options(of)
    _sweep_options(of)
    of["init"].add_argument(
        "--new-archive",
        action="store_true",
        help="the archive is another than before; what is known of that is kept",
    )
    of["init"].add_argument(
        "--new-store", action="store_true", help="the store has moved, or is under another name than before"
    )
    for name in ("restore", "hold", "unhold", "forget"):
        of[name].add_argument("keys", metavar="KEY", nargs="*" if name == "restore" else "+")
    of["restore"].add_argument("--from-list", metavar="FILE", type=Path, help="keys, one a line (-: standard input)")
    of["forget"].add_argument("--yes", action="store_true", help="do not ask")
    of["fetch"].add_argument("key", metavar="KEY")
    of["fetch"].add_argument("file", metavar="FILE")
    of["history"].add_argument("key", metavar="KEY", nargs="?")
    of["report"].add_argument("--html", metavar="FILE", type=Path, required=True, help="where to write the page")
    which = of["config"].add_mutually_exclusive_group(required=True)
    which.add_argument("--check", action="store_true", help="whether they are right")
    which.add_argument("--show", action="store_true", help="each, with where it comes from; secrets are not shown")
    of["check"].add_argument("--format", choices=("text", "json", "nagios", "prometheus"), default="text")
    return parser


def written(arguments: argparse.Namespace) -> str:
    """Name the file that a command writes; nothing where it is standard output, or there is none."""
    name = {"fetch": "file", "report": "html"}.get(arguments.command)
    if name is None:
        return ""
    target = str(getattr(arguments, name))
    return "" if target == "-" or inherited_descriptor(Path(target)) is not None else target


def write_to(arguments: argparse.Namespace, target: str) -> None:
    """Have a command write to another file than it was told."""
    arguments.named = written(arguments)
    if target and arguments.command == "fetch":
        arguments.file = target
    elif target:
        arguments.html = Path(target)


def _admission_options(of: dict[str, argparse.ArgumentParser]) -> None:
    of["admit"].add_argument("--bytes", metavar="N", type=_size, required=True, help=f"its size: {ALLOWED}")
    of["admit"].add_argument("--key", metavar="KEY", help="what it will be called: no sweep touches it meanwhile")
    of["admit"].add_argument("--wait", metavar="SECONDS", type=_seconds, default=0.0, help="for a sweep (default: 0)")
    of["admit"].add_argument("--lease", metavar="SECONDS", type=_seconds, help="until it ends by itself")
    of["commit"].add_argument("reservation", metavar="ID")
    which = of["release"].add_mutually_exclusive_group(required=True)
    which.add_argument("reservation", metavar="ID", nargs="?")
    which.add_argument("--all", action="store_true", help="every reservation, whoever made it")
    which.add_argument("--older-than", metavar="SECONDS", type=_seconds, help="every one that was made so long ago")
    of["commit"].add_argument("--key", metavar="KEY", help="what it is called now")
    of["commit"].add_argument(
        "--bytes", metavar="N", type=_size, help="what was stored, where that is not what was admitted"
    )


def _sweep_options(of: dict[str, argparse.ArgumentParser]) -> None:
    for name in ("plan", "sweep"):
        of[name].add_argument("--need", metavar="BYTES", type=_size, help="until an upload of this size fits")
    of["sweep"].add_argument("--until-reserved", metavar="ID", help="or until this reservation was made")
    of["sweep"].add_argument(
        "--premigrated-only", action="store_true", help="release what is proven already; copy nothing"
    )
    of["sweep"].add_argument(
        "--start-at-high", action="store_true", help="above the high watermark only; else just copy ahead of need"
    )
    of["sweep"].add_argument("--retry", action="store_true", help="try at once what failed, now that it is mended")
    of["sync"].add_argument("--emptied", action="store_true", help="believe a store that lists nothing any more")
    which = of["verify"].add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="every copy (the default)")
    which.add_argument("--sample", metavar="N", type=_count, help="so many, chosen at random")


def _common_options() -> argparse.ArgumentParser:
    """Make the options that may stand before or after the command; absent ones leave no trace.

    Each parser needs its own: the default that `set_defaults` gives one of them would be that of all who share it.
    """
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--config", metavar="FILE", type=Path, help=f"settings (default: {settings.DEFAULT_FILE})")
    options.add_argument("--json", action="store_true", help="print JSON")
    options.add_argument("-q", "--quiet", action="store_true", help="print nothing when all is well")
    options.add_argument("-v", "--verbose", action="store_true", help="tell each step on standard error")
    options.add_argument("--version", action="version", version=f"exodus-storage-guard {__version__}")
    return options


def _parsed(read: Callable[[str], int | float], text: str) -> int | float:
    try:
        return read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _size(text: str) -> int:
    return int(_parsed(parse_bytes, text))


def _seconds(text: str) -> float:
    value = float(_parsed(float, text))
    if not 0 <= value <= 30 * 86400:
        raise argparse.ArgumentTypeError("allowed: 0 to 2592000 seconds")
    return value


def _count(text: str) -> int:
    value = int(_parsed(int, text))
    if value < 1:
        raise argparse.ArgumentTypeError("allowed: 1 or more")
    return value
