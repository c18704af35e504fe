"""What an Ogg Opus file spends on sound: the sizes of its packets, without the container's pages and headers."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from backend.errors import BadAudio

# RFC 6716, table 2: audio bandwidth by the upper five bits of a packet's first byte.
SILK_HZ = (4000, 6000, 8000)
HYBRID_HZ = (12000, 20000)
CELT_HZ = (4000, 8000, 12000, 20000)


class OpusCost(NamedTuple):
    """`payload_bytes` of all audio packets, and the bandwidth most of them have."""

    payload_bytes: int
    n_packets: int
    bandwidth_hz: int


def opus_cost(content: bytes) -> OpusCost:
    """Count the audio packets of one Ogg Opus stream. Raises `BadAudio` if it is not one."""
    packets = ogg_packets(content)
    if len(packets) < 3 or not packets[0].startswith(b"OpusHead") or not packets[1].startswith(b"OpusTags"):
        raise BadAudio("The file is not one Ogg Opus stream with sound. Encode it again.")
    audio = [packet for packet in packets[2:] if packet]
    bandwidths = Counter(packet_bandwidth_hz(packet) for packet in audio)
    return OpusCost(sum(map(len, audio)), len(audio), bandwidths.most_common(1)[0][0])


def ogg_packets(content: bytes) -> list[bytes]:
    """The packets of an Ogg stream: RFC 3533 pages, whose segments of 255 bytes go on in the next."""
    packets, open_packet, at = [], b"", 0
    while at < len(content):
        header = content[at : at + 27]
        if len(header) < 27 or not header.startswith(b"OggS"):
            raise BadAudio(f"The Ogg stream breaks off at byte {at}. Encode it again.")
        n_segments = header[26]
        lacing = content[at + 27 : at + 27 + n_segments]
        at += 27 + n_segments
        for size in lacing:
            open_packet += content[at : at + size]
            at += size
            if size < 255:
                packets.append(open_packet)
                open_packet = b""
        if at > len(content):
            raise BadAudio("The last page of the Ogg stream is cut off. Encode it again.")
    return packets


def packet_bandwidth_hz(packet: bytes) -> int:
    """The audio bandwidth an Opus packet declares."""
    config = packet[0] >> 3
    if config < 12:
        return SILK_HZ[config // 4]
    if config < 16:
        return HYBRID_HZ[(config - 12) // 2]
    return CELT_HZ[(config - 16) // 4]
