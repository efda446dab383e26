"""Open the store that the settings name; what only one kind needs is imported for that kind only."""

import os
from collections.abc import Mapping

from exodus_common.errors import SettingsInvalid
from exodus_storage_guard.secret_file import secret
from exodus_storage_guard.stores.contract import Store
from exodus_storage_guard.stores.directory.store import DirectoryStore
from exodus_storage_guard.stores.locations import Bucket, Folder, Remote
from exodus_storage_guard.stores.settings import ArchiveSettings, StoreSettings

_KEYS = {"access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY"}


def opened(place: StoreSettings, timeout_seconds: float) -> Store:
    """Open a store or an archive; raise `SettingsInvalid` where a secret or a package is missing."""
    where = place.location
    if isinstance(where, Folder):
        return DirectoryStore(where.path)
    if isinstance(where, Bucket):
        return _s3(place, where, timeout_seconds, os.environ)
    assert isinstance(place, ArchiveSettings), "only an archive is reached with ssh"
    return _remote(place, where, timeout_seconds)


def _remote(place: ArchiveSettings, where: Remote, timeout_seconds: float) -> Store:
    from exodus_storage_guard.stores.ssh.door import Key, SshDoor
    from exodus_storage_guard.stores.ssh.store import RemoteStore

    assert place.identity_file is not None, "required by ssh://"
    assert place.known_hosts_file is not None, "required by ssh://"
    return RemoteStore(SshDoor(where, Key(place.identity_file, place.known_hosts_file), timeout_seconds))


def _s3(place: StoreSettings, where: Bucket, timeout_seconds: float, environ: Mapping[str, str]) -> Store:
    try:
        from exodus_storage_guard.stores.s3.bucket import BucketDoor
        from exodus_storage_guard.stores.s3.pool import Access
        from exodus_storage_guard.stores.s3.store import S3Store
    except ImportError as error:
        raise SettingsInvalid(f"{place.url}: s3:// needs the packages of exodus-certbot[storage]: {error}") from error
    access_key, secret_key = (_key(place, name, environ) for name in _KEYS)
    access = Access(place.endpoint or "", access_key, secret_key, place.region, place.ca_file, timeout_seconds)
    return S3Store(BucketDoor(access, where.name), where.prefix)


def _key(place: StoreSettings, name: str, environ: Mapping[str, str]) -> str:
    file, variable = getattr(place, f"{name}_file"), _KEYS[name]
    if file is not None:
        return secret(file)
    if environ.get(variable):
        return environ[variable]
    raise SettingsInvalid(f"{place.url}: found no {name}; allowed: {name}_file, or the variable {variable}")
