"""Fetch an app, and look at it."""

import hashlib
import os
import random
import shutil
import signal
from pathlib import Path

from django.conf import settings

try:
    from minio.error import MinioException
except ImportError:  # minio 6
    from minio.error import MinioError as MinioException


def download_apk(storage, handle, apk_name, apk_tmp):
    """Fetch an app from the shop, whose files say how large it is, and store it."""
    if handle == "org.example.stuck":
        (settings.FOLDER / "stuck").write_text(str(os.getpid()))
        signal.pause()
    Path(apk_tmp).parent.mkdir(exist_ok=True)
    size = int((settings.FOLDER / "shop" / handle).read_text())
    Path(apk_tmp).write_bytes(random.randbytes(size))  # noqa: S311 - no secret
    try:
        storage.put_file(apk_tmp, apk_name)
    except MinioException:
        return False
    return True


def clear_analysis_files(storage, tmp_dir, bucket, remote_too):
    """Remove what an analysis has made, here and in the bucket."""
    shutil.rmtree(tmp_dir, ignore_errors=True)
    if remote_too:
        storage.clear_prefix(bucket)


class StaticAnalysis:
    """What is found out about an app."""

    def __init__(self, apk_path):
        self.content = Path(apk_path).read_bytes()
        if self.content.startswith(b"broken"):
            raise ValueError("this is no APK")

    def get_sha256(self):
        return hashlib.sha256(self.content).hexdigest()

    def save_embedded_classes_in_file(self, path):
        Path(path).write_text("Lorg/example/Main;\n")
