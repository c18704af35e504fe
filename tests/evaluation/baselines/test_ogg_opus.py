import io

import pytest
import soundfile

from backend.data.synthetic import speech_like
from backend.errors import BadAudio
from backend.evaluation.baselines.ogg_opus import ogg_packets, opus_cost, packet_bandwidth_hz


def page(lacing: bytes, body: bytes) -> bytes:
    return b"OggS" + bytes(22) + bytes([len(lacing)]) + lacing + body


def test_packets_span_segments_and_pages():
    long = bytes(range(250)) * 3
    content = page(bytes([3, 255, 255]), b"abc" + long[:510]) + page(bytes([240, 0, 2]), long[510:] + b"de")
    assert ogg_packets(content) == [b"abc", long, b"", b"de"]


def test_payload_is_the_sum_of_packet_sizes():
    head, tags = b"OpusHead" + bytes(11), b"OpusTags" + bytes(40)
    packets = [head, tags, bytes([8 << 3]) + bytes(20), bytes([9 << 3]) + bytes(30), bytes([0])]
    content = b"".join(page(bytes([len(packet)]), packet) for packet in packets)
    cost = opus_cost(content)
    assert cost == (21 + 31 + 1, 3, 8000)


@pytest.mark.parametrize(
    ("config", "bandwidth_hz"),
    [(0, 4000), (7, 6000), (11, 8000), (12, 12000), (15, 20000), (16, 4000), (20, 8000), (31, 20000)],
)
def test_bandwidth_is_read_from_the_packet(config, bandwidth_hz):
    assert packet_bandwidth_hz(bytes([config << 3 | 3])) == bandwidth_hz


def test_payload_of_a_real_file_is_less_than_its_size():
    file = io.BytesIO()
    samples = speech_like(2.0, 48_000, seed=5)[0]
    soundfile.write(file, samples, 48_000, format="OGG", subtype="OPUS")
    cost = opus_cost(file.getvalue())
    assert 0.8 * len(file.getvalue()) < cost.payload_bytes < len(file.getvalue())
    assert 100 <= cost.n_packets <= 103


@pytest.mark.parametrize("content", [b"", b"RIFF" + bytes(60), page(bytes([3]), b"abc"), page(bytes([200]), b"abc")])
def test_other_content_is_rejected(content):
    with pytest.raises(BadAudio):
        opus_cost(content)
