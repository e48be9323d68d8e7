"""Number of CPU cores to work with.

Its imports are light: the server loads it.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc/self")


def available_cores() -> int:
    """Return the number of cores this process may use, at least 1 (not the host's cores).

    It is the process's affinity, capped by the quota of its cgroups. The quota is the least of the
    process's own cgroup and of all cgroups above it that can be seen, under either version of
    cgroups. It is rounded up: half a core is one thread. Sources: cgroups(7); the kernel's
    cgroup-v2.rst and scheduler/sched-bwc.rst.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(math.ceil(quota) for quota in _quotas())]))


def _quotas() -> Iterator[float]:
    """Yield the cores that each cgroup of this process allows, where it sets a limit."""
    for version, folder in cgroups("cpu"):
        quota = _quota_v2(folder) if version == 2 else _quota_v1(folder)
        if quota is not None:
            yield quota


def cgroups(controller: str) -> Iterator[tuple[int, Path]]:
    """Yield the version and the folder of this process's cgroups, and of all above that can be seen.

    Args:
        controller: kind of limit, ``cpu`` or ``memory``.
    """
    for version, mount, own in _hierarchies(controller):
        for folder in (own, *own.parents):
            yield version, folder
            if folder == mount:
                break


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # the root has no such file; 'max' is no limit
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return quota / period if quota > 0 else None  # -1 is no limit
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _hierarchies(controller: str) -> Iterator[tuple[int, Path, Path]]:
    """Yield version, mount point and own folder of each hierarchy that may set such limits."""
    own = _own_paths(controller)
    for line in _lines(_PROC / "mountinfo"):
        mount, _, source = line.partition(" - ")
        fields, described = mount.split(" "), source.split(" ")
        if len(fields) < 5 or len(described) < 3:
            continue
        version = {"cgroup": 1, "cgroup2": 2}.get(described[0])
        if (
            version is None
            or version not in own
            or (version == 1 and controller not in described[2].split(","))
        ):
            continue
        yield version, Path(fields[4]), _folder(Path(fields[4]), root=fields[3], path=own[version])


def _own_paths(controller: str) -> dict[int, str]:
    """Return this process's cgroup path by version; for version 1 that of the controller."""
    found = {}
    for line in _lines(_PROC / "cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            found[1] = path
        elif number == "0" and not controllers:
            found[2] = path
    return found


def _folder(mount: Path, *, root: str, path: str) -> Path:
    """Return the folder of a cgroup under a mount that shows the hierarchy from ``root`` on."""
    inside = path.removeprefix(root.rstrip("/")).lstrip("/")
    # A container without a cgroup namespace of its own may see only its own part, under the host's
    # path.
    outside = ".." in Path(inside).parts or not f"{path}/".startswith(f"{root.rstrip('/')}/")
    return mount if outside else mount / inside


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not on Linux
        return []
