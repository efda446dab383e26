"""`init` tries each right that the guard needs, says which lacks, and what gives it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from exodus_common.errors import ExodusError
from exodus_storage_guard.errors import NotFreeable, StoreFailed, StoreFull
from exodus_storage_guard.stores.contract import Store
from exodus_storage_guard.stores.settings import StoreSettings
from exodus_storage_guard.tiering import rights
from tests.parts.bucketed import Bucketed
from tests.parts.doors import replace_methods
from tests.parts.guard import Guarded, apk_key
from tests.parts.marks import on_sqlite
from tests.parts.s3 import S3Server
from tests.storage.test_s3 import add_user, policy

# --- a bucket ---


@pytest.mark.parametrize(
    ("lacking", "right", "action"),
    [
        ("s3:ListBucket", "list", "s3:ListBucket"),
        ("s3:PutObject", "write", "s3:PutObject"),
        ("s3:GetObject", "read", "s3:GetObject"),
        ("s3:DeleteObject", "delete", "s3:DeleteObject"),
    ],
)
def test_a_right_that_lacks_in_a_bucket_is_named_by_init_with_its_action(
    lacking: str, right: str, action: str, tmp_path: Path, minio: S3Server
) -> None:
    bucket = minio.bucket()
    granted = policy(bucket)
    for statement in granted["Statement"]:
        statement["Action"] = [one for one in statement["Action"] if not one.startswith(lacking)]
    add_user(minio, tmp_path, [granted])
    keys = {name: str(tmp_path / name) for name in ("access_key_file", "secret_key_file")}
    bucketed = Bucketed(tmp_path, server=minio, bucket=bucket).write(store=keys)

    refused = bucketed("init")

    assert refused.exit_code == 1
    assert f"the guard may not {right} in s3://{bucket}" in refused.stderr
    assert f"Its policy needs {action}" in refused.stderr
    assert f"garage bucket allow --read --write {bucket}" in refused.stderr
    granted["Statement"] = policy(bucket)["Statement"]
    add_user(minio, tmp_path, [granted])
    assert bucketed("init").exit_code == 0
    assert bucketed.stored() == set()


def test_rights_that_lack_in_an_archive_are_named_as_well(tmp_path: Path, minio: S3Server) -> None:
    store, archive = minio.bucket(), minio.bucket()
    granted = policy(archive)
    granted["Statement"][1]["Action"].remove("s3:PutObject")
    add_user(minio, tmp_path, [granted])
    keys = {name: str(tmp_path / name) for name in ("access_key_file", "secret_key_file")}
    settings = {"url": f"s3://{archive}", "endpoint": minio.endpoint, **keys}
    bucketed = Bucketed(tmp_path, server=minio, bucket=store, archive_settings=settings).write()

    refused = bucketed("init")

    assert refused.exit_code == 1
    assert f"the guard may not write in s3://{archive}" in refused.stderr
    assert "Its policy needs s3:PutObject" in refused.stderr


# --- a folder ---


def command_in(said: str) -> list[str]:
    """Give the commands that an error tells root to run."""
    found = re.search(r"As root: (.*)", said)
    assert found, said
    return found[1].split("; ")


@pytest.mark.parametrize(
    ("closed", "mode", "right"),
    [("store", 0o555, "write"), ("store", 0o333, "list"), (".", 0o600, "list")],
    ids=["read-only", "unlisted", "a folder above is closed"],
)
def test_a_right_that_lacks_in_a_folder_is_named_by_init_with_its_command(
    closed: str, mode: int, right: str, tmp_path: Path
) -> None:
    guarded = Guarded(tmp_path / "home").write()
    settings = {"url": f"sqlite:///{tmp_path / 'state.db'}"}
    config = tmp_path / "guard.toml"
    guarded.write(state=settings, archive={"url": f"directory://{tmp_path / 'archive'}"})
    (tmp_path / "archive").mkdir()
    shutil.move(guarded.config, config)
    (guarded.folder / closed).chmod(mode)

    refused = guarded.powerless("init", "--config", str(config))
    (guarded.folder / closed).chmod(0o755)

    assert refused.exit_code == 1
    assert f"the guard may not {right} in directory://{guarded.store}" in refused.stderr
    assert "Permission denied" in refused.stderr
    *enters, gives = command_in(refused.stderr)
    # What cannot be looked at is nobody's; an owner is bound by his own bits, whatever a list says.
    assert gives.startswith("setfacl -R -m u:" if closed == "." else f"chmod -R u+rwX {guarded.store}")
    assert [command.split()[-1] for command in enters] == ([str(guarded.folder)] if closed == "." else [])
    assert guarded("init", "--config", str(config)).exit_code == 0


@on_sqlite
def test_objects_that_may_not_be_read_are_named_by_init(guarded: Guarded) -> None:
    for key in guarded.fill(3):
        (guarded.store / key).chmod(0)

    refused = guarded.powerless("init")

    assert refused.exit_code == 1
    assert "the guard may not read in directory://" in refused.stderr
    assert f"chmod -R u+rwX {guarded.store}" in refused.stderr


@on_sqlite
def test_one_object_that_may_not_be_read_is_its_own_affair(guarded: Guarded) -> None:
    (guarded.store / guarded.fill(3)[0]).chmod(0)

    assert guarded.powerless("init").exit_code == 0


@on_sqlite
def test_a_subfolder_in_which_nothing_may_be_deleted_is_named_by_init(guarded: Guarded) -> None:
    guarded.write(select={"pattern": "apk$"})
    guarded.put("sub/1.apk")
    (guarded.store / "sub").chmod(0o555)

    refused = guarded.powerless("init")
    (guarded.store / "sub").chmod(0o755)

    assert refused.exit_code == 1
    assert "the guard may not write in" in refused.stderr
    assert guarded.powerless("init").exit_code == 0
    assert guarded.stored() == {"sub/1.apk"}


@on_sqlite
def test_the_command_that_is_named_works(guarded: Guarded) -> None:
    guarded.put("sub/1.apk")
    (guarded.store / "sub").chmod(0o555)
    guarded.store.chmod(0o555)
    refused = guarded.powerless("init")
    for command in command_in(refused.stderr):
        subprocess.run(command, shell=True, check=True)  # noqa: S602 - as an operator would

    assert refused.exit_code == 1
    assert guarded.powerless("init").exit_code == 0


def test_another_users_folder_is_opened_by_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 65533)
    error = StoreFailed.for_lack_of_a_right("Permission denied")

    place, said = StoreSettings(f"directory://{tmp_path}"), "setfacl -R -m u:65533:rwX,d:u:65533:rwX "
    with pytest.raises(StoreFailed, match=said), rights.named(place, rights.Right.WRITE):
        raise error


# --- what is no lack of a right ---


def tried(guarded: Guarded, error: ExodusError, verb: str) -> None:
    def fails(self: Store, *_: object) -> None:
        raise error

    guarded("init")
    run = guarded.run()
    replace_methods(run.store, **{verb: fails})
    rights.try_out(run)


@on_sqlite
def test_a_store_that_is_full_or_keeps_what_it_gets_for_a_while_is_begun_with_all_the_same(guarded: Guarded) -> None:
    guarded.put(apk_key(1))
    tried(guarded, StoreFull("No space left on device"), "write_small")
    tried(guarded, NotFreeable("it is locked for a day"), "delete")


@on_sqlite
def test_a_store_that_fails_in_another_way_has_its_own_words_and_no_remedy_that_does_not_help(guarded: Guarded) -> None:
    with pytest.raises(StoreFailed, match=r"^Input/output error$"):
        tried(guarded, StoreFailed("Input/output error"), "write_small")


@on_sqlite
def test_a_store_that_does_not_give_back_what_was_written_is_named(guarded: Guarded) -> None:
    guarded("init")
    run = guarded.run()

    def other(self: Store, key: str) -> bytes:
        return b"another content"

    replace_methods(run.store, read_small=other)
    with pytest.raises(StoreFailed, match="is not read back"):
        rights.try_out(run)


@on_sqlite
def test_a_probe_that_a_killed_run_left_is_no_object_and_the_next_init_removes_it(guarded: Guarded) -> None:
    guarded.write(select={"pattern": ".", "minimum_age_days": 0})
    guarded("init")
    guarded.put(rights.PROBE, size=32)

    assert guarded("sync").exit_code == 0
    assert guarded.states() == {}
    assert guarded("init").exit_code == 0
    assert guarded.stored() == set()
