"""pgroups: the tables of ST 2110-20 and RFC 4175, and that packing loses nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillway_stream.video.formats import (
    DEPTHS,
    SAMPLINGS,
    PictureFormat,
    fault_of,
    pack_line,
    pack_samples,
    pixel_group,
    unpack_samples,
)


@pytest.mark.parametrize(
    ("sampling", "depth", "octets", "pixels"),
    [
        pytest.param("YCbCr-4:2:2", 8, 4, 2, id="422-8"),
        pytest.param("YCbCr-4:2:2", 10, 5, 2, id="422-10"),
        pytest.param("YCbCr-4:2:2", 12, 6, 2, id="422-12"),
        pytest.param("YCbCr-4:4:4", 8, 3, 1, id="444-8"),
        pytest.param("YCbCr-4:4:4", 10, 15, 4, id="444-10"),
        pytest.param("YCbCr-4:4:4", 12, 9, 2, id="444-12"),
        pytest.param("RGB", 8, 3, 1, id="rgb-8"),
        pytest.param("RGB", 10, 15, 4, id="rgb-10"),
        pytest.param("RGB", 12, 9, 2, id="rgb-12"),
    ],
)
def test_pgroup_table(sampling, depth, octets, pixels):
    """ST 2110-20:2017, tables 1 and 3."""
    group = pixel_group(sampling, depth)
    assert (group.octets, group.pixels) == (octets, pixels)


@pytest.mark.parametrize(
    ("sampling", "depth", "pixels", "wire"),
    [
        pytest.param(
            "YCbCr-4:2:2", 8, [(1, 2, 3), (9, 4, 9)], "01020304", id="Cb Y0 Cr Y1; the second pixel's chroma is not sent"
        ),
        pytest.param("YCbCr-4:2:2", 10, [(0x3FF, 0, 0x3FF), (0, 0, 0)], "ffc00ffc00", id="ten bits, most significant first"),
        pytest.param("YCbCr-4:2:2", 12, [(0xABC, 0x123, 0xDEF), (0, 0x456, 0)], "abc123def456", id="twelve bits"),
        pytest.param("YCbCr-4:4:4", 8, [(1, 2, 3)], "010203", id="Cb Y Cr"),
        pytest.param("RGB", 8, [(1, 2, 3), (4, 5, 6)], "010203040506", id="R G B"),
        pytest.param("RGB", 12, [(0x123, 0x456, 0x789), (0xABC, 0xDEF, 0)], "123456789abcdef000", id="nine octets"),
    ],
)
def test_sample_order(sampling, depth, pixels, wire):
    assert pack_line(pixel_group(sampling, depth), pixels).hex() == wire


@settings(deadline=None)  # a loaded machine is no fault
@given(st.data(), st.sampled_from(SAMPLINGS), st.sampled_from(DEPTHS), st.integers(1, 9))
def test_packing_loses_nothing(data, sampling, depth, groups):
    group = pixel_group(sampling, depth)
    samples = data.draw(
        st.lists(st.integers(0, (1 << depth) - 1), min_size=groups * group.samples, max_size=groups * group.samples)
    )
    packed = pack_samples(depth, samples)
    assert len(packed) == groups * group.octets
    assert unpack_samples(depth, packed) == samples


@pytest.mark.parametrize(
    ("picture", "field"),
    [
        pytest.param(PictureFormat(1921, 1080, pixel_group("YCbCr-4:2:2", 10)), "widthPixels", id="half a pair"),
        pytest.param(PictureFormat(1922, 1080, pixel_group("RGB", 10)), "widthPixels", id="half a group of four"),
        pytest.param(PictureFormat(1920, 1081, pixel_group("RGB", 8), interlaced=True), "heightPixels", id="odd fields"),
        pytest.param(PictureFormat(32766, 32766, pixel_group("RGB", 8)), "heightPixels", id="larger than any memory"),
    ],
)
def test_pictures_that_cannot_be_sent(picture, field):
    found = fault_of(picture)
    assert found is not None
    assert found[0] == field


def test_ordinary_pictures_have_no_fault():
    assert fault_of(PictureFormat(3840, 2160, pixel_group("YCbCr-4:2:2", 10))) is None
    assert PictureFormat(3840, 2160, pixel_group("YCbCr-4:2:2", 10)).frame_bytes == 20_736_000
