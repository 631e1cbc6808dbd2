"""What the demo shows is what was counted; the filter that it applies is the shipped example."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import yaml
from tests.demo.product import example_for
from tests.demo.samples import Reading, make_sample
from tests.demo.screen import bar
from tests.demo.stream import EXAMPLE as COLOR_BARS
from tests.demo.stream import manifest, pipeline

from spillway_crds.decode import decode_filter
from spillway_crds.streams_wire import decode_stream

CLUSTER = SimpleNamespace(node=lambda _: SimpleNamespace(address="10.99.0.11", address6="fd00:10:99::11"))


def test_a_sample_is_rates_between_two_readings():
    before = Reading(at=10.0, sent=1000, lost=50, filter_at=9.0, dropped=0, would_drop=500)
    now = Reading(at=12.0, sent=61_000, lost=50, filter_at=13.0, dropped=20_000, would_drop=600)
    callers = {"video": {"asked": 400, "answered": 300}, "web": {"asked": 0, "answered": 0}}
    sample = make_sample(4.0, before, now, callers)
    assert (sample.at_s, sample.flood, sample.dropped, sample.would_drop, sample.lost) == (8.0, 30_000, 5_000, 25, 0)
    assert sample.video == 0.75 and sample.web is None


def test_a_counter_that_began_anew_is_no_negative_rate():
    sample = make_sample(0.0, Reading(at=1.0, filter_at=1.0, dropped=500), Reading(at=2.0, filter_at=2.0, dropped=0), {})
    assert sample.dropped == 0 and sample.video is None


@pytest.mark.parametrize(("share", "text"), [(1.0, "██████████ 100%"), (0.42, "████░░░░░░  42%"), (0.0, "░░░░░░░░░░   0%")])
def test_bars(share, text):
    assert bar(share).plain == text


def test_the_demo_s_filter_is_the_example_with_the_node_s_addresses():
    shipped = decode_filter(yaml.safe_load(example_for(CLUSTER)))
    assert shipped.name == "dns-amplification"
    for rule in shipped.spec.content.rules:
        assert [str(prefix) for prefix in rule.match.destinations] == ["10.99.0.11/32", "fd00:10:99::11/128"]


def test_the_stream_is_the_shipped_example_with_the_receivers_address():
    stream = decode_stream(yaml.safe_load(manifest("10.98.0.12")))
    assert str(stream.spec.parameters.flow.destination) == "10.98.0.12"
    shipped = decode_stream(yaml.safe_load(COLOR_BARS.read_text()))
    assert shipped.spec.source == stream.spec.source


def test_gstreamer_is_told_the_pictures_size():
    video = yaml.safe_load(COLOR_BARS.read_text())["spec"]["source"]["video"]
    argv = " ".join(pipeline(video, 5004))
    assert "width=(string)640,height=(string)360" in argv
    assert "depth=(string)8" in argv
    assert "sampling=YCbCr-4:2:2" in argv
