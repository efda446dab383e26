"""Celery's messages and results as files of a folder: a real broker that nobody has to start."""

import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps


def configuration(folder: Path, serializer: str) -> dict[str, Any]:
    """Give what a worker and whoever sends it tasks agree on."""
    for name in ("messages", "processed", "control", "results"):
        (folder / name).mkdir(exist_ok=True)
    messages = str(folder / "messages")
    options = {"data_folder_in": messages, "data_folder_out": messages, "processed_folder": str(folder / "processed")}
    return {
        "broker_url": "filesystem://",
        "broker_transport_options": options
        | {"control_folder": str(folder / "control"), "store_processed": True, "polling_interval": 0.02},
        "result_backend": f"file://{folder / 'results'}",
        "result_serializer": serializer,
        "result_accept_content": ["json", "pickle"],
        "broker_connection_retry_on_startup": True,
    }


def _put_whole(self: filesystem.Channel, queue: str, payload: object, **more: object) -> None:
    """Put a message where the worker looks once it is whole: Kombu's own may be read when it is half written."""
    file = Path(self.data_folder_out) / f"{time.monotonic_ns():020}_{uuid.uuid4()}.{queue}.msg"
    half = file.with_suffix(".half")
    half.write_text(dumps(payload))  # type: ignore[no-untyped-call]  # Kombu's own are not
    half.rename(file)


filesystem.Channel._put = _put_whole  # type: ignore[method-assign]  # it has no other door
