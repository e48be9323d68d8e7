"""Boundary around foreign libraries."""

from pathlib import Path

import pytest

from mutant_guard.errors import DataError, GuardError, ModelError
from mutant_store.boundary import boundary, check_no_pointer, first_line


class StrangeError(Exception):
    pass


@pytest.mark.parametrize(
    "error", [StrangeError("odd\nlines"), KeyError("k"), RecursionError(), SystemError("x")]
)
def test_whatever_is_raised_becomes_one_line_with_the_thing_and_the_remedy(error: Exception) -> None:
    with pytest.raises(ModelError, match=r"^m\.onnx is broken \(.+\); export it again$") as raised:  # noqa: SIM117
        with boundary(ModelError, "m.onnx is broken", "export it again"):
            raise error
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [DataError("a line of its own"), MemoryError(), KeyboardInterrupt()])
def test_lines_of_our_own_a_lack_of_memory_and_an_interrupt_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:  # noqa: SIM117
        with boundary(ModelError, "it", "mend it"):
            raise error
    assert raised.value is error


def test_the_first_line_is_short_and_printable() -> None:
    assert first_line(ValueError("\n\n  a \t b\nc")) == "a b"
    assert first_line(ValueError("\x1b[96mblue\x1b[0m \x00")) == "blue �"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line(ValueError("x" * 5000))) < 310


def test_a_git_lfs_pointer_is_told(tmp_path: Path) -> None:
    pointer = tmp_path / "m.onnx"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    with pytest.raises(
        GuardError, match=r"m\.onnx is a Git LFS pointer and not the file itself; run git lfs pull"
    ):
        check_no_pointer(pointer, ModelError)
    pointer.write_bytes(b"version")
    check_no_pointer(pointer, ModelError)
