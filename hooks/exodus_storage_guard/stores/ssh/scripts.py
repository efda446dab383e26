"""What we have a POSIX shell do in the archive's folder; `$a`, `$b`, … are the names that are handed to it.

A key's folder is entered part by part, and each time seen to be where it has to be: a link would lead elsewhere. What
follows is done by plain names in the folder that is entered then, whatever others do to the path.
"""

import shlex

from exodus_storage_guard.stores.names import (
    ASIDE,
    ASIDE_FOLDER_GLOB,
    ASIDE_GLOB,
    DIGITS,
    PART_GLOB,
    TOKEN_DIGITS,
    USUAL_NAME_BYTES,
)

MISSING, IN_THE_WAY, ANOTHER = 44, 45, 49
"""What scripts exit with where there is no such file, a link or a file is in the way, or there is another file."""

_HERE = "$(pwd -P; echo .)"  # a substitution loses newlines at its end, which a name may have


def _gone(name: str) -> str:
    """End where test(1) finds nothing of a name: it says so, too, where it could not look."""
    return f"""{{ E=$(stat -- {name} 2>&1 >/dev/null) || case "$E" in *'No such file or directory') ;;
*) printf '%s\\n' "$E" >&2; exit 1;; esac; exit {MISSING}; }}"""


def _enter(make: str = "") -> str:
    return f"""R={_HERE}; R=${{R%??}}; while [ "$a" != "${{a#*/}}" ]; do W=./${{a%%/*}}; a=${{a#*/}}; {make}
[ -d "$W" ] || {{ [ -e "$W" ] || [ -L "$W" ] || {_gone('"$W"')}; exit {IN_THE_WAY}; }}
cd -P -- "$W" || exit 1; R=$R/${{W#./}}; N={_HERE}; [ "${{N%??}}" = "$R" ] || exit {IN_THE_WAY}; done; a=./$a; """


ENTER = _enter()
ENTER_MADE = _enter('[ -e "$W" ] || [ -L "$W" ] || mkdir -- "$W" || [ -d "$W" ] || exit 1;')
IS_FILE = f"""{ENTER}[ -f "$a" ] && [ ! -L "$a" ] || {_gone('"$a"')}; """
FORMAT = "%s %T@ %C@ %i"
_STAT = f"""find "$a" -maxdepth 0 -type f -printf '{FORMAT}\\n'"""
STAT = IS_FILE + _STAT
# Of many, whose names come one after the other; what is not there is left out, and what cannot be looked at is told.
_STAT_ONE = f"""n=${{1#./}}; a=$1; S=$({{ {STAT}; }} 2>/dev/null); c=$?; [ $c -ne {MISSING} ] || exit 0
[ $c -ne 0 ] || {{ printf '%s %s\\0' "$S" "$n"; exit 0; }}
E=$({{ {STAT}; }} 2>&1 >/dev/null); printf '? %s %s\\0%s\\0' $c "$n" "$E" """
STAT_ALL = f"xargs -0 -r -n 1 sh -c {shlex.quote(_STAT_ONE)} sh"
READ = f'{STAT} && exec cat -- "$a"'
_SYNC = "sync -- . 2>/dev/null || sync; "
_WRITE = """umask 027; trap 'rm -f -- "$p"' EXIT; dd of="$p" bs=256k conv=fsync status=none; """
# A link refuses where there is a file of that name already; some filesystems have none. And what is described is what
# was written, not what others may have put there since.
PUT = f"""p=$b; n=$c; t=$e; {ENTER_MADE}set -e; [ ! -e "$a" ] && [ ! -L "$a" ] || exit {ANOTHER}; {_WRITE}
[ "$(stat -c %s -- "$p")" = "$n" ] || exit {ANOTHER}; touch -d "@$t" -- "$p"; I=$(stat -c %i -- "$p")
ln -T -- "$p" "$a" 2>/dev/null || {{ [ -e "$a" ] || [ -L "$a" ]; }} && [ "$(stat -c %i -- "$a")" != "$I" ] &&
exit {ANOTHER}; [ -e "$a" ] || mv -nT -- "$p" "$a"; rm -f -- "$p"
{_SYNC}S=$({_STAT}); [ "${{S##* }}" = "$I" ] || exit {ANOTHER}; printf '%s\\n' "$S" """
WRITE_SMALL = f"""p=$b; n=$c; {ENTER_MADE}set -e; {_WRITE}
[ "$(stat -c %s -- "$p")" = "$n" ]; mv -fT -- "$p" "$a"; {_SYNC}"""
READ_SMALL = IS_FILE + 'exec head -c "$b" -- "$a"'
# dd drops what memory holds of the file first, where it can: what is hashed comes from the disk.
SHA256 = IS_FILE + """dd if="$a" iflag=nocache count=0 2>/dev/null; exec sha256sum < "$a" """

_LONGEST = USUAL_NAME_BYTES - len(f"{ASIDE}--") - DIGITS - TOKEN_DIGITS
# By what a change of the name leaves as it was (names.identity).
_IDENTITY = f"""$(printf %s "$(find "$X" -maxdepth 0 -type f -printf '%s %T@ %i')" | sha256sum | cut -c 1-{DIGITS})"""
# $X is what is set aside, $D the folder of ours that it is in, if any, $I what was to go.
_NAME = 'ln -T -- "$X" "$a" 2>/dev/null || [ -e "$a" ] || [ -L "$a" ] || mv -nT -- "$X" "$a" || [ -e "$a" ] || exit 1'
_LEAVE = f"""[ -z "$D" ] || rmdir -- "$D"; {_SYNC}"""
_SETTLE = f"""if [ "{_IDENTITY}" = "$I" ]; then rm -f -- "$X" || exit 1; O=gone; else
{_NAME}
rm -f -- "$X"; O=another; fi
{_LEAVE}"""
# $T is a token of ours.
_REMOVE = f"""F=${{a#./}}; D=; X=./{ASIDE}$I-$T-
if [ ${{#F}} -gt {_LONGEST} ]; then D=$X; mkdir -- "$D" || exit 1; X=$D/; fi
X=$X$F; mv -fT -- "$a" "$X" || {{ [ -z "$D" ] || rmdir -- "$D"; [ -e "$a" ] || exit {MISSING}; exit 1; }}; {_SETTLE}"""
DELETE = f"""I=$c; T=$d; {IS_FILE}[ "$({_STAT})" = "$b" ] || exit {ANOTHER}; {_REMOVE}
[ $O = gone ] || exit {ANOTHER}; echo gone"""
# Only who looked at it may remove it: what has its name by now is either itself, by a link, or another, and both stay.
PUT_BACK = f"""X=$b; D=$c; {ENTER}[ -f "$X" ] && [ ! -L "$X" ] || {_gone('"$X"')}
{_NAME}
if [ -e "$X" ]; then [ "$(stat -c %d:%i -- "$a")" = "$(stat -c %d:%i -- "$X")" ] || exit {ANOTHER}
{_SYNC}rm -f -- "$X" || exit 1; fi
{_LEAVE}"""
MOVE = f"""T=$c; G=${{b##*/}}; P=$(a=$b; {ENTER_MADE}pwd -P; echo .) || exit $?; P=${{P%??}}/$G
{IS_FILE}X=$a; I={_IDENTITY}; ln -T -- "$a" "$P" 2>/dev/null ||
{{ {{ [ -e "$P" ] || [ -L "$P" ]; }} && exit {ANOTHER}; mv -nT -- "$a" "$P" || exit 1; }}
[ ! -e "$a" ] || {{ {_REMOVE} }}; sync -- "${{P%/*}}" 2>/dev/null || sync"""

# A folder that cannot be looked at is named, and the rest goes on.
_FIND = "find . -ignore_readdir_race -path ./lost+found -prune -o -type d ! \\( -readable -executable \\) "
LIST = f"""{_FIND}-printf '? %P/\\0' -prune -o -type d -name '{ASIDE_FOLDER_GLOB}' -prune -o \
-type f ! -name '{PART_GLOB}' ! -name '{ASIDE_GLOB}' -printf '{FORMAT} %P\\0'"""
# By the change of the inode: a part may have its object's time of change already.
DISCARD = f"""{_FIND}-prune -o -name '{PART_GLOB}' -type f ! -newerct "$a" -printf . -exec rm -f -- {{}} + -o \
-name '{ASIDE_FOLDER_GLOB}' -type d -empty ! -newerct "$a" -exec rmdir -- {{}} +"""
LEFT = f"""{_FIND}-prune -o -path '*/{ASIDE_GLOB}' -type f ! -newerct "$a" -printf '%P\\0'"""
