"""What was archived comes back: the very same bytes, and no other ones."""

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.parts.guard import MIB, Guarded, apk_key, sha256_of


@pytest.fixture
def archived(guarded: Guarded) -> tuple[Guarded, str, str, float]:
    """Archive one object; give its key, SHA-256 and time."""
    path = guarded.put(apk_key(1), size=90 * MIB // 9, days=300)
    path.chmod(0o644)
    for number in range(2, 10):
        guarded.put(apk_key(number), size=90 * MIB // 9, days=10)
    key, sha256, at = path.name, sha256_of(path), path.stat().st_mtime
    guarded("init")
    guarded("sweep")
    assert key in guarded.archived()
    return guarded, key, sha256, at


def test_restore_gives_back_bytes_and_time_under_a_hold(archived: tuple[Guarded, str, str, float]) -> None:
    guarded, key, sha256, at = archived
    assert key not in guarded.stored()

    restored = guarded("restore", key, "--json")
    guarded("sweep")

    assert restored.exit_code == 0, restored.all_output
    (one,) = restored.json["objects"]
    assert (one["key"], one["sha256"], one["verdict"]) == (key, sha256, "ok")
    assert sha256_of(guarded.store / key) == sha256
    assert abs((guarded.store / key).stat().st_mtime - at) < 1e-5
    assert (guarded.store / key).stat().st_mode & 0o777 == 0o644
    guarded("unhold", key)
    guarded("sweep")
    assert key not in guarded.stored()
    events = [one["event"] for one in guarded("history", key, "--json").json]
    assert events == [
        *("resident", "copying", "premigrated", "releasing", "archived"),
        *("recalling", "premigrated", "unheld", "releasing", "archived"),
    ]


def test_fetch_writes_a_file_or_standard_output_and_does_not_refill_the_store(
    archived: tuple[Guarded, str, str, float], tmp_path: Path
) -> None:
    guarded, key, sha256, _ = archived
    target = tmp_path / "fetched.apk"

    to_file = guarded("fetch", key, str(target))
    to_output = guarded("fetch", key, "-")

    assert (to_file.exit_code, to_output.exit_code) == (0, 0)
    assert sha256_of(target) == sha256
    assert to_output.stdout.encode("utf-8", "surrogateescape") == target.read_bytes()
    assert key not in guarded.stored()


def test_a_copy_that_went_bad_is_never_given_out(archived: tuple[Guarded, str, str, float], tmp_path: Path) -> None:
    guarded, key, _, _ = archived
    with (guarded.archive / key).open("r+b") as file:
        file.seek(1000)
        file.write(b"\xff\x00flipped")
    target = tmp_path / "fetched.apk"

    fetched = guarded("fetch", key, str(target))
    restored = guarded("restore", key, "--json")
    verified = guarded("verify", "--json")

    assert (fetched.exit_code, restored.exit_code, verified.exit_code) == (1, 1, 1)
    assert "differs from what was proven" in fetched.stderr
    assert not target.exists()
    assert key not in guarded.stored()
    assert [one["verdict"] for one in verified.json["objects"]] == ["critical"]
    assert guarded.states()["lost"] == 1
    assert guarded("status", "--json").json["verdict"] == "critical"


def test_a_copy_that_is_mended_is_taken_back(archived: tuple[Guarded, str, str, float]) -> None:
    guarded, key, sha256, _ = archived
    hidden = guarded.archive / key
    hidden.rename(guarded.folder / "hidden")
    lost = guarded("verify")
    (guarded.folder / "hidden").rename(hidden)
    found = guarded("verify", "--sample", "5", "--json")

    assert (lost.exit_code, found.exit_code) == (1, 0)
    assert found.json["objects"][0]["sha256"] == sha256
    assert guarded.states()["archived"] == 1


def test_forget_asks_and_then_removes_for_good(archived: tuple[Guarded, str, str, float]) -> None:
    guarded, key, _, _ = archived

    asked = guarded("forget", key, stdin=b"no\n")
    assert (asked.exit_code, key in guarded.archived()) == (2, True)
    forgotten = guarded("forget", key, "--yes")

    assert forgotten.exit_code == 0
    assert [path for path in guarded.archive.rglob("*") if path.is_file() and not path.name.startswith(".exodus")] == []
    assert guarded("history", key, "--json").json[-1]["event"] == "forgotten"
    assert guarded("restore", key).exit_code == 1


def test_an_object_in_the_store_is_not_forgotten(guarded: Guarded) -> None:
    key = guarded.put(apk_key(1)).name
    guarded("init")

    assert guarded("forget", key, "--yes").exit_code == 1
    assert key in guarded.stored()


def test_what_others_deleted_from_the_store_is_fetched_from_its_copy_and_not_said_to_be_there(
    archived: tuple[Guarded, str, str, float], tmp_path: Path
) -> None:
    guarded, key, sha256, _ = archived
    guarded.nobody_makes_room()  # a sweep looks for itself, and finds it gone
    assert "restored" in guarded("restore", key).stdout
    there = guarded("restore", key)
    (guarded.store / key).unlink()

    fetched = guarded("fetch", key, str(tmp_path / "fetched"))
    untrue = guarded("restore", key)
    guarded("sync")
    restored = guarded("restore", key)

    assert (there.exit_code, "is in the store already" in there.stdout) == (0, True)
    assert (fetched.exit_code, sha256_of(tmp_path / "fetched")) == (0, sha256)
    assert (untrue.exit_code, "exodus-storage-guard sync" in untrue.all_output) == (1, True)
    assert (restored.exit_code, sha256_of(guarded.store / key)) == (0, sha256)


def test_what_others_deleted_and_no_archive_has_is_nowhere(
    archived: tuple[Guarded, str, str, float], tmp_path: Path
) -> None:
    guarded, key = archived[0], apk_key(5)
    (guarded.store / key).unlink()

    assert guarded("fetch", key, str(tmp_path / "fetched")).exit_code == 1
    assert guarded("restore", key).exit_code == 1
    assert list(tmp_path.glob("fetched*")) == []


def test_restore_never_replaces_what_others_put_there(archived: tuple[Guarded, str, str, float]) -> None:
    guarded, key, _, _ = archived
    guarded.put(key, content=b"another one")

    restored = guarded("restore", key)

    assert restored.exit_code == 1
    assert "another" in restored.all_output
    assert (guarded.store / key).read_bytes() == b"another one"
    assert key in guarded.archived()


def test_restore_does_not_overfill_the_store(archived: tuple[Guarded, str, str, float]) -> None:
    guarded, key, _, _ = archived
    guarded("admit", "--bytes", "14 MiB")

    refused = guarded("restore", key, "--json")

    assert refused.exit_code == 1
    assert "above the flood watermark" in refused.json["objects"][0]["reason"]
    assert key not in guarded.stored()


def test_a_lost_catalogue_is_made_anew_from_the_manifests(archived: tuple[Guarded, str, str, float]) -> None:
    guarded, key, sha256, _ = archived
    states = guarded.states()
    guarded.lose_catalogue()

    rebuilt = guarded("rebuild", "--json")

    assert rebuilt.exit_code == 0, rebuilt.all_output
    assert rebuilt.json["archived"] == 1
    assert guarded.states() == states
    assert guarded("restore", key).exit_code == 0
    assert sha256_of(guarded.store / key) == sha256


def test_the_archive_is_read_without_us(archived: tuple[Guarded, str, str, float]) -> None:
    guarded, key, sha256, at = archived
    manifest = json.loads((guarded.archive / f"{key}.manifest.json").read_text())

    assert sha256_of(guarded.archive / key) == sha256 == manifest["sha256"]
    assert set(manifest) == {
        *("key", "bytes", "sha256", "etag", "content_type", "metadata", "last_modified", "archived_at", "store"),
    }
    assert (manifest["key"], manifest["bytes"]) == (key, 10 * MIB)
    assert manifest["last_modified"].endswith("Z")
    assert abs((guarded.archive / key).stat().st_mtime - at) < 1e-5


def test_an_archive_that_was_made_by_hand_is_adopted(guarded: Guarded) -> None:
    keys = [apk_key(number) for number in range(3)]
    for key in keys:
        path = guarded.put(key, days=500)
        path.rename(guarded.archive / key)  # as an rsync and an `mc rm` left it
    (guarded.archive / "README").write_text("of the backup machine")
    resident = guarded.put(apk_key(9))
    (guarded.archive / resident.name).write_bytes(resident.read_bytes())  # copied, and not yet removed
    before = {key: sha256_of(guarded.archive / key) for key in keys}
    guarded("init")

    rebuilt = guarded("rebuild", "--json")
    again = guarded("rebuild", "--json")

    assert rebuilt.exit_code == 0, rebuilt.all_output
    assert (rebuilt.json["archived"], rebuilt.json["adopted"]) == (3, 4)
    assert (again.json["archived"], again.json["new"], again.json["adopted"]) == (3, 0, 0)
    assert guarded.archived() == before | {resident.name: sha256_of(resident)}
    assert guarded.states() == {"resident": 1, "archived": 3}
    assert not (guarded.archive / "README.manifest.json").exists()
    restored = guarded("restore", keys[0])
    assert restored.exit_code == 0, restored.all_output
    assert sha256_of(guarded.store / keys[0]) == before[keys[0]]


def test_what_is_wrong_in_an_archive_is_said_when_it_is_rebuilt(archived: tuple[Guarded, str, str, float]) -> None:
    guarded, key, _, _ = archived
    (guarded.archive / key).unlink()
    guarded.lose_catalogue()

    rebuilt = guarded("rebuild")

    assert f"{key}: its manifest is there, and it is not" in rebuilt.stdout
    assert rebuilt.exit_code == 1
    assert guarded.states() == {"resident": 8, "lost": 1}
    assert guarded("status", "--json").json["verdict"] == "critical"


def test_fetch_writes_to_what_is_there_as_what_it_is(archived: tuple[Guarded, str, str, float], tmp_path: Path) -> None:
    guarded, key, sha256, _ = archived
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    link.symlink_to(file)

    to_link = guarded("fetch", key, str(link))
    with subprocess.Popen(["sha256sum", pipe], stdout=subprocess.PIPE) as reader:
        to_pipe = guarded("fetch", key, str(pipe))
        read = reader.communicate(timeout=20)[0]

    assert (to_link.exit_code, to_pipe.exit_code) == (0, 0)
    assert (link.is_symlink(), sha256_of(file), pipe.is_fifo()) == (True, sha256, True)
    assert read.split()[0].decode() == sha256


def test_fetch_to_dev_stdout_is_fetch_to_standard_output(archived: tuple[Guarded, str, str, float]) -> None:
    guarded, key, sha256, _ = archived

    fetched = guarded("fetch", key, "/dev/stdout")

    assert (fetched.exit_code, "fetched" in fetched.stderr) == (0, True)
    assert hashlib.sha256(fetched.stdout.encode("utf-8", "surrogateescape")).hexdigest() == sha256


def test_fetch_says_when_nobody_takes_all_of_it(archived: tuple[Guarded, str, str, float]) -> None:
    guarded, key, _, _ = archived
    shell = ["bash", "-c", '"$@" | head -c1 | wc -c; echo "${PIPESTATUS[0]}"; "$@" >/dev/full; echo $?', "bash"]

    done = subprocess.run(
        [*shell, *guarded.argv("fetch", key, "-")], env=guarded.environment, capture_output=True, check=False
    )

    assert done.stdout.split() == [b"1", str(128 + signal.SIGPIPE).encode(), b"1"]
    assert done.stderr == b"exodus-storage-guard: cannot write to standard output: No space left on device\n"


def test_a_report_is_written_through_a_link(guarded: Guarded, tmp_path: Path) -> None:
    guarded("init")
    (tmp_path / "page.html").write_bytes(b"old")
    (tmp_path / "link.html").symlink_to("page.html")

    reported = guarded("report", "--html", str(tmp_path / "link.html"))
    to_folder = guarded("report", "--html", str(tmp_path))

    assert (reported.exit_code, to_folder.exit_code) == (0, 1)
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert "Is a directory" in to_folder.stderr


def test_forget_is_safe_to_repeat(archived: tuple[Guarded, str, str, float]) -> None:
    guarded, key, _, _ = archived
    guarded("forget", key, "--yes")

    again = guarded("forget", key, "--yes", "--json")

    assert again.exit_code == 0, again.all_output
    assert again.json["objects"][0]["reason"] == "is forgotten already"


def test_what_is_gone_without_having_been_forgotten_cannot_be(guarded: Guarded) -> None:
    path = guarded.put(apk_key(1))
    guarded.put(apk_key(2))
    guarded("init")
    path.unlink()
    guarded("sync")

    assert guarded("forget", path.name, "--yes").exit_code == 1


def test_nobody_is_asked_about_a_key_that_is_not_known(archived: tuple[Guarded, str, str, float]) -> None:
    guarded, key, _, _ = archived

    asked = guarded("forget", key, "unknown.apk", stdin=b"yes\n")

    assert asked.exit_code == 1
    assert "Type yes" not in asked.stderr
    assert "not known here: unknown.apk (exodus-storage-guard sync looks for what is new)" in asked.stderr
    assert key in guarded.archived()


def test_history_of_an_unknown_key_is_an_error(archived: tuple[Guarded, str, str, float]) -> None:
    guarded, key, _, _ = archived

    assert guarded("history", key).exit_code == 0
    unknown = guarded("history", "unknown.apk")

    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "not known here: unknown.apk" in unknown.stderr


def test_a_list_of_keys_may_come_from_any_editor(archived: tuple[Guarded, str, str, float], tmp_path: Path) -> None:
    guarded, key, sha256, _ = archived
    (tmp_path / "list").write_bytes(b"\xef\xbb\xbf" + key.encode() + b"\r\n\r\n")

    restored = guarded("restore", "--from-list", str(tmp_path / "list"))

    assert restored.exit_code == 0, restored.all_output
    assert sha256_of(guarded.store / key) == sha256
