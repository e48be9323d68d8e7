"""Cores under quotas, read from trees of files like a kernel's."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from mutant_guard.bank.cores import available_cores

AFFINITY = 8


@dataclass(frozen=True)
class Machine:
    """A ``/proc/self`` and the cgroups that it names, under one folder."""

    folder: Path

    def belongs_to(self, *lines: str) -> None:
        """Write ``/proc/self/cgroup``."""
        self._write("proc/cgroup", "\n".join(lines) + "\n")

    def mounts(self, *mounts: tuple[str, str, str, str]) -> None:
        """Write ``/proc/self/mountinfo``.

        Args:
            mounts: root, mount point, type and options of each mount.
        """
        lines = ["23 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw"]
        lines += [
            f"{30 + number} 23 0:{number} {root} {self.folder / point} rw,nosuid shared:9 - {kind} none {options}"
            for number, (root, point, kind, options) in enumerate(mounts)
        ]
        self._write("proc/mountinfo", "\n".join(lines) + "\n")

    def limits(self, cgroup: str, cpu_max: str) -> None:
        """Set the quota of a cgroup of version 2."""
        self._write(f"{cgroup}/cpu.max", cpu_max + "\n")

    def limits_v1(self, cgroup: str, quota: int, period: int = 100_000) -> None:
        """Set the quota and the period of a cgroup of version 1, both in µs."""
        self._write(f"{cgroup}/cpu.cfs_quota_us", f"{quota}\n")
        self._write(f"{cgroup}/cpu.cfs_period_us", f"{period}\n")

    def _write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr("mutant_guard.bank.cores._PROC", tmp_path / "proc")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(AFFINITY)))
    return Machine(tmp_path)


V2 = ("/", "cgroup", "cgroup2", "rw,nsdelegate")
V1 = ("/", "cpu", "cgroup", "rw,cpu,cpuacct")


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", AFFINITY),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("6400000 100000", AFFINITY),
        ("30000 10000", 3),
        ("100000 0", AFFINITY),
        ("damaged", AFFINITY),
        (None, AFFINITY),
    ],
)
def test_the_cores_are_those_of_the_affinity_capped_by_the_quota(
    quota: str | None, cores: int, machine: Machine
) -> None:
    """A container sees its own cgroup as the root of the mounted hierarchy."""
    machine.belongs_to("0::/")
    machine.mounts(V2)
    if quota is not None:
        machine.limits("cgroup", quota)
    assert available_cores() == cores


def test_outside_a_namespace_the_quota_is_that_of_the_own_cgroup(machine: Machine) -> None:
    machine.belongs_to("0::/system.slice/guard.service")
    machine.mounts(V2)
    machine.limits("cgroup/system.slice/guard.service", "300000 100000")
    machine.limits("cgroup/system.slice/other.service", "100000 100000")
    assert available_cores() == 3


@pytest.mark.parametrize(("slice_quota", "service_quota"), [("250000", "500000"), ("500000", "250000")])
def test_the_least_quota_on_the_way_up_counts(slice_quota: str, service_quota: str, machine: Machine) -> None:
    machine.belongs_to("0::/guard.slice/guard.service")
    machine.mounts(V2)
    machine.limits("cgroup/guard.slice", f"{slice_quota} 100000")
    machine.limits("cgroup/guard.slice/guard.service", f"{service_quota} 100000")
    assert available_cores() == 3


def test_nothing_above_the_mount_is_read(machine: Machine) -> None:
    machine.belongs_to("0::/a")
    machine.mounts(("/", "sys/cgroup", "cgroup2", "rw"))
    machine.limits("sys", "100000 100000")
    machine.limits("sys/cgroup/a", "400000 100000")
    assert available_cores() == 4


def test_a_mount_of_a_part_of_the_hierarchy_begins_there(machine: Machine) -> None:
    """A container in the host's cgroup namespace mounts its own part. Its cgroup lies below."""
    machine.belongs_to("0::/docker/1234/inner")
    machine.mounts(("/docker/1234", "cgroup", "cgroup2", "ro"))
    machine.limits("cgroup", "600000 100000")
    machine.limits("cgroup/inner", "500000 100000")
    assert available_cores() == 5


@pytest.mark.parametrize(
    ("own", "root"),
    [("/docker/12345", "/docker/1234"), ("/../other", "/"), ("/", "/../.."), ("/docker/1234", "/kubepods")],
)
def test_where_the_own_cgroup_is_not_shown_the_mount_itself_counts(
    own: str, root: str, machine: Machine
) -> None:
    machine.belongs_to(f"0::{own}")
    machine.mounts((root, "cgroup", "cgroup2", "ro"))
    machine.limits("cgroup", "200000 100000")
    machine.limits("other", "100000 100000")
    assert available_cores() == 2


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [
        (-1, 100_000, AFFINITY),
        (250_000, 100_000, 3),
        (20_000, 10_000, 2),
        (1_000, 100_000, 1),
        (9, 0, AFFINITY),
    ],
)
def test_version_1_has_a_quota_and_a_period(quota: int, period: int, cores: int, machine: Machine) -> None:
    machine.belongs_to("4:memory:/docker/1234", "3:cpu,cpuacct:/docker/1234", "1:name=systemd:/init")
    machine.mounts(("/docker/1234", "memory", "cgroup", "ro,memory"), ("/docker/1234", *V1[1:]))
    machine.limits_v1("cpu", quota, period)
    assert available_cores() == cores


def test_the_least_quota_on_the_way_up_counts_in_version_1_too(machine: Machine) -> None:
    machine.belongs_to("3:cpu,cpuacct:/kubepods/pod/container")
    machine.mounts(V1)
    machine.limits_v1("cpu", -1)
    machine.limits_v1("cpu/kubepods/pod", 200_000)
    machine.limits_v1("cpu/kubepods/pod/container", -1)
    assert available_cores() == 2


def test_of_version_1_only_the_hierarchy_of_the_cpu_controller_counts(machine: Machine) -> None:
    machine.belongs_to("5:cpuset:/a", "3:cpu:/b")
    machine.mounts(("/", "cpuset", "cgroup", "rw,cpuset"), ("/", "cpu", "cgroup", "rw,cpu"))
    machine.limits_v1("cpuset/a", 100_000)
    machine.limits_v1("cpu/a", 100_000)
    machine.limits_v1("cpu/b", 400_000)
    assert available_cores() == 4


def test_where_both_versions_are_mounted_both_count(machine: Machine) -> None:
    machine.belongs_to("1:cpu:/", "0::/")
    machine.mounts(V1, ("/", "unified", "cgroup2", "rw"))
    machine.limits_v1("cpu", 700_000)
    assert available_cores() == 7
    machine.limits("unified", "600000 100000")
    assert available_cores() == 6


def test_a_damaged_description_is_no_quota(machine: Machine) -> None:
    machine.belongs_to("nonsense", "0::/")
    machine.mounts(V2)
    machine.limits("cgroup", "200000 100000")
    file = machine.folder / "proc/mountinfo"
    file.write_text("short - cgroup2\n\nno separator at all\n" + file.read_text())
    assert available_cores() == 2
    file.write_text("short - cgroup2 x\n")
    assert available_cores() == AFFINITY


def test_without_proc_the_affinity_counts(machine: Machine) -> None:
    assert not (machine.folder / "proc").exists()
    assert available_cores() == AFFINITY


def test_without_an_affinity_the_cores_are_counted(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1
