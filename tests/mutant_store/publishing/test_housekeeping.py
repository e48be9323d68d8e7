"""Housekeeping of a store.

It covers listing, choosing and removing versions, and the leftovers of killed commands.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mutant_guard.errors import StoreError
from mutant_guard.store.reader import CALIBRATION, CURRENT, MANIFEST, Store, load_store
from mutant_guard.store.signature import SIGNATURE, load_private_key, make_key
from mutant_store.publishing.housekeeping import (
    Garbage,
    collect_garbage,
    find_version,
    list_versions,
    sign_version,
    use_version,
)
from mutant_store.publishing.publish import STAGING, building, publish
from tests.support.damage import republish
from tests.support.versions import add_version, copy_of, damage, killed_at


@pytest.fixture
def copy(published_store: tuple[Path, Store], tmp_path: Path) -> Path:
    return copy_of(published_store[0], tmp_path)


@pytest.fixture
def four(copy: Path) -> tuple[Path, list[str]]:
    """Return a store of four versions and their names, oldest first, with the last one current."""
    first = load_store(copy).version
    os.utime(copy / first / MANIFEST, (1000, 1000))
    return copy, [first, *(add_version(copy, seed=seed, published=1000.0 + seed) for seed in (1, 2, 3))]


def entries(store: Path) -> set[str]:
    return {entry.name for entry in store.iterdir()} - {".lock"}


def removed(garbage: list[Garbage]) -> list[str]:
    return [entry.path.name for entry in garbage]


def test_versions_are_listed_newest_last_with_what_they_are(four: tuple[Path, list[str]]) -> None:
    store, names = four
    os.utime(store / names[0] / MANIFEST, (5000, 5000))
    found = list_versions(store)
    assert [version.name for version in found] == [*names[1:], names[0]]
    assert [version.current for version in found] == [False, False, True, False]
    assert [version.published for version in found] == [1001, 1002, 1003, 5000]
    assert [version.manifest.seed for version in found if version.manifest] == [1, 2, 3, 0]
    assert not any(version.signed or version.problem for version in found)
    files = [path.stat().st_size for path in (store / names[0]).iterdir()]
    assert found[-1].size == sum(files)


def test_damaged_versions_are_listed_with_the_reason(four: tuple[Path, list[str]]) -> None:
    store, names = four
    damage(store / names[0] / CALIBRATION)
    (store / names[1] / MANIFEST).unlink()
    problems = {version.name: version.problem or "" for version in list_versions(store)}
    assert f"{CALIBRATION} is damaged" in problems[names[0]]
    assert f"{MANIFEST} cannot be read" in problems[names[1]]
    assert (problems[names[2]], problems[names[3]]) == ("", "")


def test_only_versions_are_listed(copy: Path) -> None:
    (only,) = list_versions(copy)
    for name in (STAGING, f".removing.{only.name}", "notes", "0123456789abcdefg"):
        shutil.copytree(copy / only.name, copy / name)
    (copy / "0123456789abcdef").write_text("a file")
    assert list_versions(copy) == [only]


def test_an_older_version_is_used_and_a_newer_one_again(four: tuple[Path, list[str]]) -> None:
    store, names = four
    for name, text in ((names[0], names[0][:4]), (names[3], names[3]), (names[1], names[1][:9])):
        assert use_version(store, text).version == name
        assert load_store(store).version == name
    assert entries(store) == {CURRENT, *names}


def test_a_version_that_is_not_there_is_refused_with_those_that_are(four: tuple[Path, list[str]]) -> None:
    store, names = four
    with pytest.raises(StoreError, match="has no version 'zzzz'") as caught:
        use_version(store, "zzzz")
    assert all(name in str(caught.value) for name in names)
    with pytest.raises(StoreError, match="give at least 4 characters"):
        use_version(store, names[0][:3])
    assert load_store(store).version == names[3]


def test_a_prefix_of_two_versions_is_refused(copy: Path) -> None:
    for name in ("abcd000000000000", "abcd100000000000"):
        (copy / name).mkdir()
    with pytest.raises(StoreError, match="could be any of abcd000000000000, abcd100000000000"):
        find_version(copy, "abcd")
    assert find_version(copy, "abcd1") == "abcd100000000000"


def test_a_damaged_version_is_not_used(four: tuple[Path, list[str]]) -> None:
    store, names = four
    damage(store / names[0] / CALIBRATION)
    with pytest.raises(StoreError, match=f"{CALIBRATION} is damaged"):
        use_version(store, names[0])
    assert load_store(store).version == names[3]


def test_a_store_whose_current_is_lost_is_mended_by_choosing_a_version(four: tuple[Path, list[str]]) -> None:
    store, names = four
    (store / CURRENT).write_text("gone")
    assert not any(version.current for version in list_versions(store))
    with pytest.raises(StoreError, match="choose one with mutant-store use"):
        collect_garbage(store)
    use_version(store, names[1])
    assert load_store(store).version == names[1]


@pytest.mark.parametrize(("keep", "kept"), [(0, [3]), (1, [2, 3]), (2, [1, 2, 3]), (9, [0, 1, 2, 3])])
def test_the_current_version_and_the_newest_others_stay(
    keep: int, kept: list[int], four: tuple[Path, list[str]]
) -> None:
    store, names = four
    sizes = {version.name: version.size for version in list_versions(store)}
    gone = [name for name in names if names.index(name) not in kept]
    would = collect_garbage(store, keep=keep, dry_run=True)
    assert entries(store) == {CURRENT, *names}
    assert collect_garbage(store, keep=keep) == would == [Garbage(store / n, sizes[n]) for n in gone]
    assert entries(store) == {CURRENT, *(names[number] for number in kept)}
    assert load_store(store).version == names[3]
    assert collect_garbage(store, keep=keep) == []


def test_after_a_roll_back_the_current_version_stays_however_old(four: tuple[Path, list[str]]) -> None:
    store, names = four
    use_version(store, names[0])
    assert removed(collect_garbage(store)) == [names[1], names[2]]
    assert entries(store) == {CURRENT, names[0], names[3]}


def test_a_damaged_version_is_not_kept_in_place_of_one_to_roll_back_to(four: tuple[Path, list[str]]) -> None:
    store, names = four
    damage(store / names[2] / CALIBRATION)
    assert removed(collect_garbage(store)) == [names[0], names[2]]
    assert entries(store) == {CURRENT, names[1], names[3]}


def test_a_damaged_current_version_stays(four: tuple[Path, list[str]]) -> None:
    store, names = four
    damage(store / names[3] / CALIBRATION)
    collect_garbage(store, keep=0)
    assert entries(store) == {CURRENT, names[3]}


def test_leftovers_go_and_what_is_not_known_stays(four: tuple[Path, list[str]]) -> None:
    store, names = four
    shutil.copytree(store / names[0], store / f".removing.{names[0]}")
    leftovers = [f".{CURRENT}.ab_c0123", f"{names[3]}/.{SIGNATURE}.01234567"]
    unknown = [f".{CURRENT}.notes", "README", f"{names[3]}/.notes.01234567", "notes/README"]
    (store / "notes").mkdir()
    for name in leftovers + unknown:
        (store / name).write_bytes(b"12345")
    (store / STAGING).mkdir()
    (store / STAGING / "progress.json").write_bytes(b"123")
    garbage = collect_garbage(store, keep=3)
    assert [str(entry.path.relative_to(store)) for entry in garbage] == [f".removing.{names[0]}", *leftovers]
    assert [entry.size for entry in garbage[1:]] == [5, 5]
    assert all((store / name).exists() for name in [*unknown, STAGING])
    (entry,) = collect_garbage(store, keep=3, unfinished=True)
    assert entry == Garbage(store / STAGING, 3)
    assert not (store / STAGING).exists()
    assert all((store / name).exists() for name in [*names, *unknown])


def test_an_unfinished_first_build_stays_unless_it_is_given_up(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / STAGING).mkdir(parents=True)
    assert collect_garbage(store) == []
    assert removed(collect_garbage(store, unfinished=True)) == [STAGING]


def test_a_killed_collection_never_shows_half_a_version_and_is_finished_by_the_next(
    four: tuple[Path, list[str]], tmp_path: Path
) -> None:
    store, names = four
    for step in range(100):
        copy = copy_of(store, tmp_path / f"killed {step}")
        killed = killed_at(step, lambda copy=copy: collect_garbage(copy, keep=1))  # type: ignore[misc]
        assert load_store(copy).version == names[3]
        assert [version for version in list_versions(copy) if version.problem] == []
        collect_garbage(copy, keep=1)
        assert entries(copy) == {CURRENT, names[2], names[3]}
        if not killed:
            break
    assert step > 10  # killed within both removals


def test_a_killed_choice_leaves_one_of_the_two_versions(four: tuple[Path, list[str]]) -> None:
    store, names = four
    step = 0
    while killed_at(step, lambda: use_version(store, names[0])):
        assert load_store(store).version in {names[0], names[3]}
        step += 1
        use_version(store, names[3])
    assert load_store(store).version == names[0]
    collect_garbage(store, keep=3)
    assert entries(store) == {CURRENT, *names}


def test_nothing_is_changed_while_a_build_runs(four: tuple[Path, list[str]]) -> None:
    store, names = four
    key = load_private_key(_key(store.parent))
    with building(store):
        for change in (
            lambda: use_version(store, names[0]),
            lambda: collect_garbage(store),
            lambda: sign_version(store, key),
        ):
            with pytest.raises(StoreError, match=r"a build of .* is running.*wait for it"):
                change()
    assert entries(store) == {CURRENT, *names}


def test_no_store_is_said_and_none_made(tmp_path: Path) -> None:
    key = load_private_key(_key(tmp_path))
    nowhere = tmp_path / "nowhere"
    for ask in (
        lambda: list_versions(nowhere),
        lambda: use_version(nowhere, "abcd"),
        lambda: collect_garbage(nowhere),
        lambda: sign_version(nowhere, key),
    ):
        with pytest.raises(StoreError, match="no such store; make one with mutant-store build"):
            ask()
    assert not nowhere.exists()


def test_building_again_mends_a_damaged_version(copy: Path) -> None:
    store = load_store(copy)
    shutil.copytree(store.path, copy / STAGING)
    damage(store.path / CALIBRATION)
    assert publish(copy, copy / STAGING, store.manifest_text) == store.version
    assert load_store(copy) == store
    assert entries(copy) == {CURRENT, store.version}


def test_a_version_is_signed_by_prefix_and_listed_so(four: tuple[Path, list[str]]) -> None:
    store, names = four
    key = load_private_key(_key(store.parent))
    before = list_versions(store)
    assert sign_version(store, key, names[1][:6]).version == names[1]
    assert sign_version(store, key).version == names[3]
    after = list_versions(store)
    assert [version.signed for version in after] == [False, True, False, True]
    sizes = [version.size for version in before]
    assert [
        replace(version, signed=False, size=size) for version, size in zip(after, sizes, strict=True)
    ] == before


def _key(folder: Path) -> Path:
    path = folder / "test.key"
    path.write_bytes(make_key()[0])
    return path


def test_a_version_that_is_a_link_goes_and_what_it_leads_to_stays(copy: Path, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(load_store(copy).path, tmp_path / "elsewhere"))
    (copy / "0123456789abcdef").symlink_to(elsewhere)
    (copy / ".removing.0123456789abcdee").symlink_to(elsewhere)
    assert sorted(removed(collect_garbage(copy, keep=0))) == [
        ".removing.0123456789abcdee",
        "0123456789abcdef",
    ]
    assert not [entry for entry in copy.iterdir() if entry.is_symlink()]
    assert (elsewhere / MANIFEST).is_file()


def test_a_lock_that_leads_elsewhere_is_refused_and_empties_nothing(copy: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"content")
    (copy / ".lock").unlink(missing_ok=True)
    (copy / ".lock").symlink_to(precious)
    with pytest.raises(StoreError, match=f"cannot write to {copy}"):
        collect_garbage(copy)
    assert precious.read_bytes() == b"content"
    (copy / ".lock").unlink()
    os.mkfifo(copy / ".lock")
    with pytest.raises(StoreError, match=f"cannot write to {copy}"):
        collect_garbage(copy)


def test_a_version_whose_mutants_do_not_load_is_not_chosen(copy: Path) -> None:
    good = load_store(copy).version
    damaged = republish(copy, files={"bank-0.onnx": lambda content: content[: len(content) // 2]})
    assert use_version(copy, good).version == good
    with pytest.raises(StoreError, match="the mutants do not load"):
        use_version(copy, damaged)
    assert load_store(copy).version == good
