"""Pixels as timm has them, and no image that silently becomes black."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import ImageDataset

from nastransfer_nni.data.decode import UnreadableImage, decode

RAMP = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)


def file_of(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def colours():
    return Image.fromarray(np.dstack([RAMP, RAMP.T, 255 - RAMP]))


def pages(form, **options):
    second = Image.new("RGB", (8, 8), "red")
    return file_of(colours(), form, save_all=True, append_images=[second], **options)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    return file_of(colours(), "JPEG", exif=exif)


FILES = {
    "grey": file_of(Image.fromarray(RAMP)),
    "grey and alpha": file_of(Image.merge("LA", [Image.fromarray(RAMP)] * 2)),
    "transparent": file_of(Image.merge("RGBA", [*colours().split(), Image.fromarray(RAMP)])),
    "palette": file_of(colours().quantize(16)),
    "transparent palette": file_of(colours().quantize(16), transparency=bytes(range(0, 256, 16))),
    "black and white": file_of(Image.fromarray(RAMP).convert("1")),
    "CMYK": file_of(colours().convert("CMYK"), "JPEG"),
    "pages": pages("TIFF"),
    "animated GIF": pages("GIF"),
    "animated WebP": pages("WEBP", lossless=True),
    "animated PNG": pages("PNG"),
    "EXIF orientation": turned(),
    "progressive": file_of(colours(), "JPEG", progressive=True),
    "LZW": file_of(colours(), "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_pixels_are_those_of_timm(content, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(content)
    theirs, _ = ImageDataset(str(tmp_path))[0]
    assert np.array_equal(np.asarray(decode(content)), np.asarray(theirs))


def tiff(values, form):
    return file_of(Image.fromarray(np.asarray(values, dtype=form).reshape(8, 8)), "TIFF")


@pytest.mark.parametrize("form", ["uint16", ">u2", "int32"])
def test_sixteen_bits_are_scaled_to_eight(form):
    wide = RAMP.astype(np.int64) * 257
    content = tiff(wide, form) if form != ">u2" else tiff(wide, "uint16")
    assert np.array_equal(np.asarray(decode(content))[..., 0], RAMP)
    assert not np.asarray(decode(tiff(0 * wide, "uint16"))).any(), "black is black"


@pytest.mark.parametrize(
    "content",
    [
        tiff(RAMP, "int32"),
        tiff(RAMP, "uint16"),
        file_of(Image.fromarray(RAMP.astype(np.uint16) * 16)),
        tiff(RAMP / 255, "float32"),
        tiff(RAMP, "float32"),
        tiff(RAMP.astype(np.int64) - 100, "int32"),
        tiff(RAMP.astype(np.int64) << 20, "int32"),
    ],
    ids=["8 in 32 bits", "8 in 16 bits", "12 in 16 bits", "0 to 1", "float", "negative", "32 bits"],
)
def test_images_of_an_unknown_range_are_refused_not_black(content):
    with pytest.raises(UnreadableImage, match="convert them to 8 bits"):
        decode(content)


def bomb(side):
    """A PNG of a few bytes that says it has `side` x `side` pixels."""

    def chunk(content):
        return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))

    header = chunk(b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT" + zlib.compress(b"")) + chunk(b"IEND")


def test_a_decompression_bomb_is_unreadable():
    with pytest.raises(UnreadableImage, match="decompression bomb"):
        decode(bomb(20_000))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_damaged_files_are_unreadable_or_decoded(name, data):
    content = bytearray(FILES[name][: data.draw(st.integers(0, len(FILES[name])))])
    for _ in range(data.draw(st.integers(0, 4)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(content)).mode == "RGB"
    except UnreadableImage as error:
        assert str(error)
