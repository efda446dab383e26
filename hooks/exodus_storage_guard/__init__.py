"""Make room for an upload before it is accepted, and lose nothing: what Python callers need is here.

Here are the decisions (`policy`, `transitions`) and their values; the stories, doors and faces have folders. Never an
import beyond the standard library, so that it loads beside whatever the caller's environment holds.
"""

from exodus_storage_guard.admission.guard import StorageGuard, UploadReservation
from exodus_storage_guard.errors import UploadRefused

__all__ = ["StorageGuard", "UploadRefused", "UploadReservation"]
