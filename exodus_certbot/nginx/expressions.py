"""The door to regular expressions as nginx reads them: by its own library, PCRE2, where the machine has it."""

import ctypes
from functools import cache

_CASELESS = 0x00000008
_NO_MATCH = -1


@cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libpcre2-8.so.0")
    except OSError:
        return None
    sizes, numbers, pointers = ctypes.c_size_t, ctypes.c_uint32, ctypes.c_void_p
    library.pcre2_compile_8.restype = library.pcre2_match_data_create_from_pattern_8.restype = pointers
    library.pcre2_compile_8.argtypes = (ctypes.c_char_p, sizes, numbers, pointers, pointers, pointers)
    library.pcre2_match_data_create_from_pattern_8.argtypes = (pointers, pointers)
    library.pcre2_match_data_free_8.argtypes = (pointers,)
    library.pcre2_match_8.argtypes = (pointers, ctypes.c_char_p, sizes, sizes, numbers, pointers, pointers)
    return library


@cache
def _compiled(expression: str) -> int | None:
    library, text = _library(), expression.encode("utf-8", "surrogateescape")
    if library is None:
        return None
    # One capital letter makes nginx ignore case (ngx_http_core_server_name()).
    options = _CASELESS if any("A" <= character <= "Z" for character in expression) else 0
    error, at = ctypes.c_int(), ctypes.c_size_t()
    found: int | None = library.pcre2_compile_8(text, len(text), options, ctypes.byref(error), ctypes.byref(at), None)
    return found


def fits(expression: str, name: str) -> bool | None:
    """Tell whether a name fits an expression; None where that cannot be known."""
    library, compiled = _library(), _compiled(expression)
    if library is None or compiled is None:
        return None
    subject, room = name.encode("ascii"), library.pcre2_match_data_create_from_pattern_8(compiled, None)
    try:
        # The library bounds its own work: an expression that would take forever is an error, and nginx's as well.
        found = library.pcre2_match_8(compiled, subject, len(subject), 0, 0, room, None)
    finally:
        library.pcre2_match_data_free_8(room)
    return None if found < _NO_MATCH else found != _NO_MATCH
