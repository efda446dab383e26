"""Make room for an upload before it is accepted, and lose nothing: what Python callers need is here.

Imports the standard library only, so that it loads beside whatever the caller's environment holds.
"""

from exodus_storage_guard.admission.guard import StorageGuard, UploadReservation
from exodus_storage_guard.errors import UploadRefused

__all__ = ["StorageGuard", "UploadRefused", "UploadReservation"]
