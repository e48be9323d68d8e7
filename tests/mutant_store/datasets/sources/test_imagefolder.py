"""Image files in class folders and in archives of them."""

import io
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mutant_guard.errors import BadImageError, DataError
from mutant_guard.images.decoding import decode
from mutant_guard.store.manifest import InputSpec
from mutant_store.datasets import ImageData, load
from tests.support.png import every_png
from tests.support.service import encode

Write = Callable[..., Path]
Noise = Callable[..., NDArray[np.uint8]]


def assert_same(one: ImageData, other: ImageData) -> None:
    assert np.array_equal(one.images, other.images)
    assert np.array_equal(one.labels, other.labels)
    assert one.class_names == other.class_names
    assert (one.range.source, one.range.start, one.range.stop) == (
        other.range.source,
        other.range.start,
        other.range.stop,
    )


def test_images_of_the_models_size_are_cropped_as_the_server_crops_them(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    (tmp_path / "data/0").mkdir(parents=True)
    Image.fromarray(noise).save(tmp_path / "data/0/0.png")
    spec = InputSpec(
        height=8, width=8, channels=3, mean=[0] * 3, std=[1] * 3, layout="nchw", resize="crop:10"
    )
    found = load(f"imagefolder:{tmp_path}/data", shape=(8, 8, 3), resize="crop:10").images[0]
    assert np.array_equal(found, decode((tmp_path / "data/0/0.png").read_bytes(), spec, 64))
    assert not np.array_equal(found, noise)


def test_classes_without_splits(tmp_path: Path, image_folder: Write) -> None:
    folder = image_folder(tmp_path / "set")
    everything, train, holdout = (
        load(f"imagefolder:{folder}{split}") for split in ("", "@train", "@holdout")
    )
    assert (len(everything), len(train), len(holdout)) == (40, 36, 4)
    assert not train.range.overlaps(holdout.range)
    assert everything.class_names == ("cat", "dog")
    assert np.bincount(everything.labels).tolist() == [20, 20]
    with pytest.raises(DataError, match="no test split"):
        load(f"imagefolder:{folder}@test")


@pytest.mark.parametrize("name", ["set.tar", "set.tar.gz", "set.tar.bz2", "set.tar.xz"])
@pytest.mark.parametrize("folders", [(), ("train", "test")])
def test_folder_and_archive_are_the_same_data(
    tmp_path: Path, image_folder: Write, archive: Write, name: str, folders: tuple[str, ...]
) -> None:
    folder = image_folder(tmp_path / "set", *folders)
    plain, nested = (
        archive(folder, tmp_path / name),
        archive(folder, tmp_path / f"n{name}", prefix="some/where"),
    )
    for split in ("train", "holdout", *folders[1:]):
        expected = load(f"imagefolder:{folder}@{split}")
        assert_same(load(f"imagefolder:{plain}@{split}"), expected)
        assert_same(load(f"imagefolder:{nested}@{split}"), expected)


@pytest.mark.parametrize("prefix", ["", "train"])
def test_one_archive_a_split(tmp_path: Path, image_folder: Write, archive: Write, prefix: str) -> None:
    folder = image_folder(tmp_path / "set", "train", "test")
    packed = tmp_path / "packed"
    packed.mkdir()
    archive(folder / "train", packed / "train.tar.xz", prefix)
    archive(folder / "test", packed / "test.tar.xz", "test" if prefix else "")
    for split in ("train", "holdout", "test"):
        assert_same(load(f"imagefolder:{packed}@{split}"), load(f"imagefolder:{folder}@{split}"))
    with pytest.raises(DataError, match="needs a split; there is @test, @train"):
        load(f"imagefolder:{packed}")


@pytest.mark.parametrize("own", ["holdout", "val"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_holdout_folder_of_its_own(
    tmp_path: Path, image_folder: Write, archive: Write, own: str, packed: bool
) -> None:
    path = image_folder(tmp_path / "set", "train", "test", own)
    if packed:
        path = archive(path, tmp_path / "set.tar")
    train, holdout = load(f"imagefolder:{path}@train"), load(f"imagefolder:{path}@holdout")
    assert (len(train), len(holdout)) == (40, 40)
    assert train.range.source != holdout.range.source


def test_splits_that_are_not_there_are_refused(tmp_path: Path, image_folder: Write) -> None:
    folder = image_folder(tmp_path / "set", "train")
    with pytest.raises(DataError, match="no such split; there is @train"):
        load(f"imagefolder:{folder}@test")
    with pytest.raises(DataError, match="needs a split, as its images lie in split folders"):
        load(f"imagefolder:{folder}")
    tests_only = image_folder(tmp_path / "tests", "test")
    for split in ("train", "holdout"):
        with pytest.raises(DataError, match="no such split; there is @test"):
            load(f"imagefolder:{tests_only}@{split}")


def test_a_split_archive_with_other_splits_in_it_is_refused(
    tmp_path: Path, image_folder: Write, archive: Write
) -> None:
    folder = image_folder(tmp_path / "set", "test")
    (tmp_path / "packed").mkdir()
    archive(folder, tmp_path / "packed/train.tar")
    with pytest.raises(DataError, match="has no images of train in it"):
        load(f"imagefolder:{tmp_path}/packed@train")


def test_labels_do_not_shift_where_a_split_lacks_a_class(tmp_path: Path, image_folder: Write) -> None:
    folder = image_folder(tmp_path / "set", "train", classes=("cat", "dog"))
    image_folder(folder, "test", classes=("dog",))
    test = load(f"imagefolder:{folder}@test")
    assert test.class_names == ("cat", "dog")
    assert set(test.labels.tolist()) == {1}


def test_other_files_and_hidden_files_are_passed_over(tmp_path: Path, image_folder: Write) -> None:
    folder = image_folder(tmp_path / "set")
    before = load(f"imagefolder:{folder}")
    (folder / "README.txt").write_text("cats and dogs")
    (folder / "cat/._000.png").write_bytes(b"no image")
    (folder / ".cache/dog").mkdir(parents=True)
    (folder / ".cache/dog/000.png").write_bytes(b"no image")
    assert_same(load(f"imagefolder:{folder}"), before)


def test_files_that_lie_otherwise_are_named(tmp_path: Path, image_folder: Write) -> None:
    folder = image_folder(tmp_path / "deep")
    image_folder(folder, "cat/more")
    with pytest.raises(DataError, match="lies apart from the others"):
        load(f"imagefolder:{folder}")
    loose = tmp_path / "loose"
    loose.mkdir()
    Image.new("RGB", (5, 5)).save(loose / "cat.png")
    with pytest.raises(DataError, match=r"cat\.png lies apart"):
        load(f"imagefolder:{loose}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no PNG, JPEG, WEBP or BMP images in it"):
        load(f"imagefolder:{tmp_path}/empty")


def test_a_damaged_or_foreign_image_is_named(tmp_path: Path, image_folder: Write, archive: Write) -> None:
    folder = image_folder(tmp_path / "set")
    whole = (folder / "cat/003.png").read_bytes()
    foreign = io.BytesIO()
    Image.new("RGB", (6, 5)).save(foreign, "GIF")
    for content in (whole[:60], b"", b"text", foreign.getvalue()):
        (folder / "cat/003.png").write_bytes(content)
        for path in (folder, archive(folder, tmp_path / "set.tar")):
            with pytest.raises(
                DataError, match=r"1 of 40 image files cannot be read.*cat/003\.png: the [^<]*$"
            ):
                load(f"imagefolder:{path}")


@pytest.fixture
def many(tmp_path: Path, image_folder: Write) -> Path:
    """Return a folder with a hundred images of each of two classes."""
    return image_folder(tmp_path / "many", count=100)


def test_one_image_in_a_hundred_that_cannot_be_read_is_left_out_and_told(many: Path) -> None:
    before = load(f"imagefolder:{many}")
    assert before.notes == ()
    frames = [Image.new("L", (6, 5), shade) for shade in (0, 99)]
    frames[0].save(many / "cat/000.png", save_all=True, append_images=frames[1:])
    (many / "dog/099.png").write_bytes(b"")
    after = load(f"imagefolder:{many}")
    assert len(after) == 198
    assert set(map(bytes, after.images)) < set(map(bytes, before.images))
    assert after.notes == load(f"imagefolder:{many}@train").notes == after.part(0, 9).notes
    assert after.notes == (
        f"2 of 200 image files cannot be read and are left out, the first {many}: cat/000.png: the image is animated "
        "(2 frames); send a still image",
    )


def test_more_than_one_in_a_hundred_is_refused(many: Path) -> None:
    for name in ("cat/000.png", "dog/001.png", "dog/002.png"):
        (many / name).write_bytes(b"text")
    with pytest.raises(
        DataError, match=r"3 of 200 .*, more than one in 100; mend or remove them; .*cat/000\.png: "
    ):
        load(f"imagefolder:{many}")


def test_images_of_which_most_cannot_be_read_are_not_read_to_the_end(many: Path) -> None:
    with pytest.raises(DataError, match=r"21 of 21 .* takes exactly 8×8; resize it"):
        load(f"imagefolder:{many}", shape=(8, 8, 3))


def test_files_that_cannot_be_opened_are_left_out_and_told(many: Path) -> None:
    (many / "cat/broken.png").symlink_to(many / "nowhere.png")
    os.mkfifo(many / "cat/pipe.png")
    data = load(f"imagefolder:{many}")
    assert len(data) == 200
    assert "2 of 202 image files cannot be read and are left out" in data.notes[0]
    (many / "cat/broken.png").unlink()
    assert "cat/pipe.png: it is no regular file" in load(f"imagefolder:{many}").notes[0]


@pytest.mark.parametrize("packed", [False, True])
def test_files_of_other_suffixes_are_counted_and_told(
    tmp_path: Path, image_folder: Write, archive: Write, packed: bool
) -> None:
    path = image_folder(tmp_path / "set")
    for name in ("cat/a.ppm", "cat/b.PPM", "cat/c.gif", "README", ".hidden"):
        (path / name).write_bytes(b"")
    if packed:
        path = archive(path, tmp_path / "set.tar")
    assert load(f"imagefolder:{path}").notes == (
        f"{path}: files passed over that are no PNG, JPEG, WEBP or BMP by their suffix: 2 .ppm, 1 without suffix, "
        "1 .gif",
    )


def test_a_folder_of_other_suffixes_alone_is_refused_with_their_number(tmp_path: Path) -> None:
    (tmp_path / "set/cat").mkdir(parents=True)
    (tmp_path / "set/cat/a.ppm").write_bytes(b"")
    with pytest.raises(DataError, match=r"has no PNG.* images in it; .*; .*files passed over .*: 1 \.ppm"):
        load(f"imagefolder:{tmp_path}/set")


def test_files_are_read_as_the_server_reads_them(tmp_path: Path) -> None:
    """Every kind of PNG, and metadata that turns a picture or is junk."""
    turned = Image.Exif()
    turned[0x0112] = 6
    colour = Image.new("RGB", (9, 11), (10, 200, 30))
    colour.putpixel((0, 0), (255, 0, 0))
    bodies = [file.body for file in every_png()]
    bodies += [encode(colour, kind, exif=turned) for kind in ("PNG", "JPEG", "WEBP")]
    bodies += [encode(colour, "JPEG", exif=b"Exif\0\0" + bytes(40)), encode(colour, "JPEG", comment=b"c")]
    bodies += [encode(colour, "PNG", save_all=True, append_images=[colour.rotate(90)])]
    for number, body in enumerate(bodies):
        folder = tmp_path / f"{number}/cat"
        folder.mkdir(parents=True)
        (folder / "x.png").write_bytes(body)
        spec = InputSpec(
            height=8, width=8, channels=3, mean=[0] * 3, std=[1] * 3, layout="nchw", resize="bilinear"
        )
        try:
            expected = decode(body, spec, 1000)
        except BadImageError as error:
            with pytest.raises(DataError, match=re.escape(str(error))):
                load(f"imagefolder:{folder.parent}", shape=(8, 8, 3), resize="bilinear")
        else:
            found = load(f"imagefolder:{folder.parent}", shape=(8, 8, 3), resize="bilinear")
            assert (found.images == expected).all()


def test_a_damaged_archive_is_refused(tmp_path: Path, image_folder: Write, archive: Write) -> None:
    folder = image_folder(tmp_path / "set")
    tar = archive(folder, tmp_path / "set.tar").read_bytes()
    packed = archive(folder, tmp_path / "set.tar.xz").read_bytes()
    # Damage: cut inside a member, cut between two members, a header overwritten, a stream cut, no
    # archive.
    second = tar.index(b"./cat/001.png") if b"./cat/001.png" in tar else tar.index(b"cat/001.png")
    broken = tar[:second] + b"\xff" * 512 + tar[second + 512 :]
    damaged = {
        "a.tar": tar[: second + 520],
        "b.tar": tar[:second],
        "c.tar": broken,
        "e.tar": b"text",
        "f.tar": b"",
    }
    damaged["d.tar.xz"] = packed[: len(packed) // 2]
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name} is damaged or no tar archive"):
            load(f"imagefolder:{tmp_path}/{name}")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_an_archive_is_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        link = tarfile.TarInfo("cat/000.png")
        link.type, link.linkname = kind, "/etc/hostname"
        tar.addfile(link)
    with pytest.raises(DataError, match=r"cat/000\.png is a link"):
        load(f"imagefolder:{tmp_path}/set.tar")


def test_images_are_fitted_to_the_model(tmp_path: Path, image_folder: Write) -> None:
    folder = image_folder(tmp_path / "set")
    fitted = load(f"imagefolder:{folder}", shape=(8, 8, 1), resize="bilinear")
    natural = load(f"imagefolder:{folder}")
    assert fitted.images.shape == (40, 8, 8, 1)
    assert natural.images.shape == (40, 5, 6, 3)
    # The order is that of the natural pixels, whatever size and colour the model takes.
    assert fitted.range.source == natural.range.source
    assert np.array_equal(fitted.labels, natural.labels)
    with pytest.raises(DataError, match=r"\.png: the image is 6×5 pixels and this model takes exactly 8×8"):
        load(f"imagefolder:{folder}", shape=(8, 8, 1))


def test_images_of_several_sizes_need_a_model(tmp_path: Path, image_folder: Write) -> None:
    folder = image_folder(tmp_path / "set")
    Image.new("L", (9, 9)).save(folder / "cat/zzz.png")
    with pytest.raises(DataError, match=r"zzz\.png has shape \(9, 9, 1\) where others have \(5, 6, 3\)"):
        load(f"imagefolder:{folder}")
    assert load(f"imagefolder:{folder}", shape=(4, 4, 3), resize="bilinear").images.shape == (41, 4, 4, 3)


@pytest.mark.parametrize("name", ["x.JPG", "x.jpeg", "x.jpe", "x.jfif", "x.apng", "x.webp", "x.bmp"])
def test_every_allowed_format_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "set/cat").mkdir(parents=True)
    Image.new("RGB", (6, 5), (10, 200, 30)).save(tmp_path / "set/cat" / name)
    assert load(f"imagefolder:{tmp_path}/set").images.shape == (1, 5, 6, 3)


def test_numbers_as_names_of_folders_are_in_natural_order(tmp_path: Path, random_images: Noise) -> None:
    names = ["0", "1", "2", "9", "10", "11", "a", "b2", "b10"]
    for name, pixels in zip(reversed(names), random_images(len(names), 4, 4), strict=True):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "set" / name / "1.png")
    assert load(f"imagefolder:{tmp_path}/set").class_names == tuple(names)


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_whose_name_is_not_utf_8_is_refused_at_once(tmp_path: Path, packed: bool) -> None:
    folder = tmp_path / "set"
    bad = folder / "caf\udce9"
    bad.mkdir(parents=True)
    Image.new("L", (4, 4)).save(bad / "1.png")
    if packed:
        with tarfile.open(tmp_path / "set.tar", "w") as tar:
            tar.add(folder, ".")
        folder = tmp_path / "set.tar"
    with pytest.raises(DataError, match=r"the name of a folder is not UTF-8: 'caf\\udce9'; rename it"):
        load(f"imagefolder:{folder}")
