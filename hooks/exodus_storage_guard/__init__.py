"""Make room for an upload before it is accepted, and lose nothing: what Python callers need is here.

Here are the decisions (`policy`, `forecast`, `transitions`, `state_identity`), the values they are made of, the story
`status`, and the doors of one module (`alerts`, `processes`, `secret_file`); all else has a folder. Never an import
beyond the standard library, so that it loads beside whatever the caller's environment holds.
"""

from exodus_storage_guard.admission.guard import StorageGuard, UploadReservation
from exodus_storage_guard.errors import UploadRefused

__all__ = ["StorageGuard", "UploadRefused", "UploadReservation"]
