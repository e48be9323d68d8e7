"""What errors of libraries say of themselves."""

import io

import PIL.Image
import pytest

from mutant_guard.errors import reason


def test_the_address_of_an_object_is_left_out() -> None:
    with pytest.raises(PIL.UnidentifiedImageError) as caught:
        PIL.Image.open(io.BytesIO(b"no image"))
    assert "BytesIO object at 0x" in str(caught.value)
    assert reason(caught.value) == "cannot identify image file"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("x < 5 and y > 3"), "x < 5 and y > 3"),
        (ValueError("of <a.b object at 0x7f> and <c.d object at 0x8A>: no"), "of and: no"),
        (ValueError(), "ValueError"),
        (OSError(2, "No such file", "a.png"), "[Errno 2] No such file: 'a.png'"),
    ],
)
def test_all_else_stays(error: Exception, said: str) -> None:
    assert reason(error) == said
