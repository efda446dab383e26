"""What we have a POSIX shell do in the archive's folder; `$a`, `$b`, … are the names that are handed to it.

A key's folder is entered part by part, and each time seen to be where it has to be: a link would lead elsewhere. What
follows is done by plain names in the folder that is entered then, whatever others do to the path.
"""

import shlex

from exodus_storage_guard.stores.names import ASIDE, DIGITS, PART, TOKEN_DIGITS, USUAL_NAME_BYTES

MISSING, IN_THE_WAY, ANOTHER = 44, 45, 49
"""What scripts exit with where there is no such file, a link or a file is in the way, or there is another file."""

_HERE = "$(pwd -P; echo .)"  # a substitution loses newlines at its end, which a name may have


def _enter(make: str = "") -> str:
    return f"""R={_HERE}; R=${{R%??}}; while [ "$a" != "${{a#*/}}" ]; do W=./${{a%%/*}}; a=${{a#*/}}; {make}
[ -d "$W" ] || {{ [ -e "$W" ] || [ -L "$W" ] || exit {MISSING}; exit {IN_THE_WAY}; }}
cd -P -- "$W" || exit 1; R=$R/${{W#./}}; N={_HERE}; [ "${{N%??}}" = "$R" ] || exit {IN_THE_WAY}; done; a=./$a; """


ENTER = _enter()
ENTER_MADE = _enter('[ -e "$W" ] || [ -L "$W" ] || mkdir -- "$W" || [ -d "$W" ] || exit 1;')
IS_FILE = f'{ENTER}[ -f "$a" ] && [ ! -L "$a" ] || exit {MISSING}; '
FORMAT = "%s %T@ %C@ %i"
_STAT = f"""find "$a" -maxdepth 0 -type f -printf '{FORMAT}\\n'"""
STAT = IS_FILE + _STAT
# Of many, whose names come one after the other; what is not there is left out.
_STAT_ONE = f"""n=${{1#./}}; a=$1; S=$({STAT}); c=$?; [ $c -ne {MISSING} ] || exit 0; [ $c -eq 0 ] || exit 255
printf "%s %s\\0" "$S" "$n" """
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
_SETTLE = f"""if [ "{_IDENTITY}" = "$I" ]; then rm -f -- "$X" || exit 1; O=gone; else
ln -T -- "$X" "$a" 2>/dev/null || [ -e "$a" ] || [ -L "$a" ] || mv -nT -- "$X" "$a" || exit 1
rm -f -- "$X"; O=another; fi
[ -z "$D" ] || rmdir -- "$D"; {_SYNC}"""
# $T is a token of ours.
_REMOVE = f"""F=${{a#./}}; D=; X=./{ASIDE}$I-$T-
if [ ${{#F}} -gt {_LONGEST} ]; then D=$X; mkdir -- "$D" || exit 1; X=$D/; fi
X=$X$F; mv -fT -- "$a" "$X" || {{ [ -z "$D" ] || rmdir -- "$D"; [ -e "$a" ] || exit {MISSING}; exit 1; }}; {_SETTLE}"""
DELETE = f"""I=$c; T=$d; {IS_FILE}[ "$({_STAT})" = "$b" ] || exit {ANOTHER}; {_REMOVE}
[ $O = gone ] || exit {ANOTHER}; echo gone"""
SETTLE_LEFT = f'X=$b; D=$c; I=$d; {ENTER}[ -e "$X" ] || exit 0; {_SETTLE}'
MOVE = f"""T=$c; G=${{b##*/}}; P=$(a=$b; {ENTER_MADE}pwd -P; echo .) || exit $?; P=${{P%??}}/$G
{IS_FILE}X=$a; I={_IDENTITY}; ln -T -- "$a" "$P" 2>/dev/null ||
{{ {{ [ -e "$P" ] || [ -L "$P" ]; }} && exit {ANOTHER}; mv -nT -- "$a" "$P" || exit 1; }}
[ ! -e "$a" ] || {{ {_REMOVE} }}; sync -- "${{P%/*}}" 2>/dev/null || sync"""

# A folder that cannot be looked at is named, and the rest goes on.
_FIND = "find . -ignore_readdir_race -path ./lost+found -prune -o -type d ! \\( -readable -executable \\) "
LIST = f"""{_FIND}-printf '? %P/\\0' -prune -o -type d -name '{ASIDE}*' -prune -o \
-type f ! -name '{PART}*' ! -name '{ASIDE}*' -printf '{FORMAT} %P\\0'"""
# By the change of the inode: a part may have its object's time of change already.
DISCARD = f"""{_FIND}-prune -o -name '{PART}*' -type f ! -newerct "$a" -printf . -exec rm -f -- {{}} + -o \
-name '{ASIDE}*' -type d -empty ! -newerct "$a" -exec rmdir -- {{}} +"""
LEFT = f"""{_FIND}-prune -o -path '*/{ASIDE}*' -type f ! -newerct "$a" -printf '%P\\0'"""
