"""Counts the packet bytes of an Ogg Opus file, without the container's pages and headers."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from backend.errors import BadAudio

# RFC 6716, table 2: audio bandwidth by the upper five bits of a packet's first byte.
SILK_HZ = (4000, 6000, 8000)
HYBRID_HZ = (12000, 20000)
CELT_HZ = (4000, 8000, 12000, 20000)


class OpusCost(NamedTuple):
    """`payload_bytes` of all audio packets, and their most frequent bandwidth."""

    payload_bytes: int
    n_packets: int
    bandwidth_hz: int


def opus_cost(content: bytes) -> OpusCost:
    """Counts the audio packets of an Ogg Opus stream. Raises `BadAudio` if it is not one."""
    packets = ogg_packets(content)
    if len(packets) < 3 or not packets[0].startswith(b"OpusHead") or not packets[1].startswith(b"OpusTags"):
        raise BadAudio("The file is not a single Ogg Opus stream with audio. Encode it again.")
    audio = [packet for packet in packets[2:] if packet]
    bandwidths = Counter(packet_bandwidth_hz(packet) for packet in audio)
    return OpusCost(sum(map(len, audio)), len(audio), bandwidths.most_common(1)[0][0])


def ogg_packets(content: bytes) -> list[bytes]:
    """Returns the packets of an Ogg stream (RFC 3533); a segment of 255 bytes continues in the next one."""
    packets, open_packet, at = [], b"", 0
    while at < len(content):
        header = content[at : at + 27]
        if len(header) < 27 or not header.startswith(b"OggS"):
            raise BadAudio(f"The Ogg stream is truncated at byte {at}. Encode it again.")
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
            raise BadAudio("The last page of the Ogg stream is truncated. Encode it again.")
    return packets


def packet_bandwidth_hz(packet: bytes) -> int:
    """Returns the audio bandwidth that an Opus packet declares."""
    config = packet[0] >> 3
    if config < 12:
        return SILK_HZ[config // 4]
    if config < 16:
        return HYBRID_HZ[(config - 12) // 2]
    return CELT_HZ[(config - 16) // 4]
