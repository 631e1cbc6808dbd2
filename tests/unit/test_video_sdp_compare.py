"""What a receiver was told wrongly, said in one line each."""

from __future__ import annotations

import pytest

from spillway_crds.sdp_compare import differences

SENT = """v=0\r
o=- 1 3 IN IP4 10.0.0.7\r
s=studio/camera-1\r
t=0 0\r
m=video 5004 RTP/AVP 96\r
c=IN IP4 239.10.0.1/32\r
a=source-filter: incl IN IP4 239.10.0.1 10.0.0.7\r
a=rtpmap:96 raw/90000\r
a=fmtp:96 sampling=YCbCr-4:2:2; width=1920; height=1080; exactframerate=50; depth=10; TCS=SDR; colorimetry=BT709; PM=2110GPM;\
 SSN=ST2110-20:2017; TP=2110TPW; interlace\r
a=mediaclk:direct=0\r
a=ts-refclk:localmac=02-00-00-00-00-0A\r
"""
SECOND = SENT[SENT.index("m=video") :].replace("239.10.0.1", "239.20.0.1").replace("5004", "5006")


def test_the_same_text_has_no_difference():
    assert differences(SENT, SENT) == ()


def test_another_hand_may_write_it_otherwise():
    """Order, line ends, defaults that are said or not, a session that is another, and what only concerns the sender."""
    told = """v=0
o=me 7 7 IN IP4 10.9.9.9
s=-
c=IN IP4 239.10.0.1
t=0 0
m=audio 6000 RTP/AVP 97
a=rtpmap:97 L24/48000
m=video 5004 RTP/AVP 96
a=rtpmap:96 RAW/90000
a=fmtp:96 interlace; exactframerate=100/2;depth=10;width=1920;height=1080;sampling=YCbCr-4:2:2;colorimetry=bt709;\
 PM=2110GPM; TP=2110TPW; RANGE=NARROW; PAR=1:1; MAXUDP=1460;
"""
    assert differences(SENT, told) == ()


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        pytest.param("height=1080", "height=720", "height is 720, the stream has 1080", id="size"),
        pytest.param("rate=50", "rate=60000/1001", "exactframerate is 60000/1001, the stream has 50", id="rate"),
        pytest.param("depth=10; ", "", "depth is not said, the stream has 10", id="nothing said"),
        pytest.param("; interlace", "", "interlace is not said, the stream is so", id="taken for progressive"),
        pytest.param("interlace", "interlace; segmented", "segmented is said, the stream is not so", id="taken for PsF"),
        pytest.param("TCS=SDR", "TCS=HLG", "TCS is HLG, the stream has SDR", id="HDR"),
        pytest.param("TCS=SDR", "TCS=SDR; RANGE=FULL", "RANGE is FULL, the stream has NARROW", id="range"),
        pytest.param("TP=2110TPW", "TP=2110TPN", "TP is 2110TPN, the stream has 2110TPW", id="a narrow receiver"),
        pytest.param("RTP/AVP 96", "RTP/AVP 112", "its payload type is 112, the stream has 96", id="payload type"),
        pytest.param("raw/90000", "H264/90000", "its encoding is H264/90000, the stream has raw/90000", id="encoding"),
        pytest.param(
            "m=video 5004",
            "m=video 5006",
            "it listens at 239.10.0.1 port 5006, the stream goes to 239.10.0.1 port 5004",
            id="port",
        ),
        pytest.param(
            "239.10.0.1 10.0.0.7",
            "239.10.0.1 10.0.0.8",
            "it takes packets from 10.0.0.8 only, they come from 10.0.0.7",
            id="source",
        ),
    ],
)  # fmt: skip
def test_each_difference_has_a_line(old, new, line):
    assert old in SENT
    assert differences(SENT, SENT.replace(old, new)) == (line,)


def test_one_of_two_legs_is_compared_with_that_leg():
    assert differences(SENT + SECOND, SECOND) == ()
    assert differences(SENT + SECOND, SECOND.replace("width=1920", "width=1280")) == ("width is 1280, the stream has 1920",)


@pytest.mark.parametrize("told", ["", "no SDP at all", "m=", "m=audio 1 RTP/AVP 97", "\0\r\n="])
def test_what_describes_no_video(told):
    assert differences(SENT, told) == ("it describes no video",)


@pytest.mark.parametrize("told", ["m=video", "m=video\nc=\na=fmtp:96\na=source-filter:\na=fmtp:96 =;;==;depth", "m=video x\nc=/"])
def test_rubbish_is_a_difference_and_no_fault(told):
    assert "it listens at" in differences(SENT, told)[0]
