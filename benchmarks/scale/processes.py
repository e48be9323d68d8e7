"""Processor time of other processes."""

import os
from pathlib import Path


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has taken so far, all its threads together.

    Raises:
        OSError: there is no such process, or the system has no ``/proc``.
    """
    # The name of the program, in brackets, may hold blanks. User and system time are the 12th and
    # 13th field after it.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
