"""The disk-full outage of January 2019, on the embedded default: a folder, an archive folder, SQLite."""

from tests.parts.guard import MIB, Guarded, sha256_of

OTHERS = ("fdroid_index.xml", "fdroid_index_v1.json", "upload.apk")


def test_an_upload_is_admitted_after_exactly_the_oldest_were_archived_and_proven(guarded: Guarded) -> None:
    keys = guarded.fill(97)
    for key in keys[:10]:
        guarded.put(key.replace(".apk", ".clist"), size=10)
        guarded.put(key.replace(".apk", ".png"), size=10)
    for name in OTHERS:
        guarded.put(name, size=10)
    before = {key: sha256_of(guarded.store / key) for key in guarded.stored()}
    guarded.write(watermarks={"high": "95%"})  # or an admission above it starts a sweep that goes on
    assert guarded("init").exit_code == 0

    full = guarded("admit", "--bytes", "5 MiB", "--json")
    admitted = guarded("admit", "--bytes", "5 MiB", "--wait", "60", "--json")

    assert full.exit_code == 75
    assert full.json["retry_after_seconds"] >= 1
    assert admitted.exit_code == 0, admitted.all_output
    guarded.wait_until_at_rest()
    archived = guarded.archived()
    count = len(archived)
    # 97 MiB and 5 more are 7 MiB and some bytes above the flood mark of 95. Where the sweep for the refused one is
    # still at work when the other one takes the room, it frees as much again.
    assert count in (7, 8, 12, 13)
    assert set(archived) == set(keys[:count])
    assert guarded.stored() == set(before) - set(keys[:count])
    assert archived == {key: before[key] for key in keys[:count]}

    listed = guarded.folder / "list"
    listed.write_text("\n".join(archived))
    guarded("release", admitted.json["reservation"])
    guarded.write(capacity={"total_bytes": "200 MiB"})
    restored = guarded("restore", "--from-list", str(listed), "--json")

    assert restored.exit_code == 0, restored.all_output
    assert {key: sha256_of(guarded.store / key) for key in guarded.stored()} == before


def test_a_sweep_goes_from_above_high_down_to_low_and_no_further(guarded: Guarded) -> None:
    keys = guarded.fill(97, newest=181)
    guarded("init")

    planned = guarded("plan", "--json").json
    swept = guarded("sweep", "--json").json
    again = guarded("sweep", "--json").json

    assert [one["key"] for one in planned["objects"]] == [one["key"] for one in swept["objects"]] == keys[:22]
    assert {one["verdict"] for one in swept["objects"]} == {"ok"}
    assert (swept["verdict"], swept["freed_bytes"], planned["freed_bytes"]) == ("ok", 22 * MIB, 22 * MIB)
    assert again["objects"] == []
    assert guarded.states() == {"resident": 75, "archived": 22}


def test_too_little_that_is_old_enough_is_said_with_the_reasons_in_bytes(guarded: Guarded) -> None:
    guarded.fill(5, oldest=300, newest=200)
    young = [guarded.put(f"{'y' * 60}_{number}.apk", days=3).name for number in range(88)]
    guarded("init")
    held = min(guarded.stored() - set(young))
    guarded("hold", held)

    planned = guarded("plan", "--json")
    swept = guarded("sweep", "--json")
    refused = guarded("admit", "--bytes", "20 MiB", "--wait", "5", "--json")

    kept = {one["reason"]: (one["count"], one["bytes"]) for one in planned.json["kept"]}
    assert kept == {"held": (1, MIB), "younger than the minimum age": (88, 88 * MIB)}
    assert (planned.exit_code, swept.exit_code) == (1, 1)
    assert swept.json["freed_bytes"] == 4 * MIB
    assert "only 4.0 MiB of the 18.0 MiB needed can be freed" in swept.json["reason"]
    assert set(young) | {held} == guarded.stored()
    assert (refused.exit_code, refused.json["refused"], refused.json["retry_after_seconds"]) == (75, True, None)
    assert set(young) | {held} == guarded.stored()
