"""Headers stay as small as they are: counts of bytes and packets, on recorded traffic. And the page has the figures."""

from __future__ import annotations

import json

import pytest

from benchmarks.headers import figures, report
from benchmarks.headers.figures import BULK, CBOR, FIXED, LOSSES
from benchmarks.headers.mix import Mix, Write, load
from benchmarks.report import insert
from jsp.crypto.protection import SealKeys
from jsp.crypto.suites import AES_256_GCM
from jsp.engine.builder import Train
from jsp.engine.flow import SendCredit
from jsp.engine.scheduler import Scheduler
from jsp.engine.send_stream import SendStream

# Bytes of packet and frame headers, ACKs included, that a message may have.
FOR_A_MESSAGE = {"rpc-64": 7.5, "messages-64": 7.5, "rpc-sequential": 13.3}
PACKET_MAX = 13


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", FOR_A_MESSAGE)
def test_a_message_has_few_bytes_of_headers_at_every_loss_rate(name: str, loss: float) -> None:
    found = figures.headers(load(name), loss)
    header = found["packet and frames"] + found["ack"]
    assert header <= FOR_A_MESSAGE[name]
    assert 1 - header / CBOR >= (0.91 if name == "rpc-sequential" else 0.95)
    assert 1 - header / FIXED >= (0.77 if name == "rpc-sequential" else 0.85)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_bulk_packet_has_thirteen_bytes_at_every_loss_rate(loss: float) -> None:
    found = figures.headers(Mix(BULK, "", [Write(0, "2", 4 << 20, 1, -1, 0.0)]), loss)
    # Two pieces share a packet where a gap was filled.
    pieces = found["pieces"] / found["packets with data"]
    assert found["packet and frames"] <= PACKET_MAX + 6 * (pieces - 1)


@pytest.mark.parametrize("sent", [1 << 20, (1 << 30) + 5, (1 << 40) + 5])
def test_a_bulk_packet_has_thirteen_bytes_far_into_its_stream(sent: int) -> None:
    stream = SendStream(2, 1 << 60, SendCredit(1 << 60), Scheduler())
    buffer = stream.buffer
    buffer.base = buffer.sent = buffer.end = sent
    stream.write(bytes(100_000))
    buffer.base -= 1  # something is under way
    train = Train()
    train.begin(SealKeys(AES_256_GCM, bytes(32)), b"abcd", 7, 2, 1452, 14_520, 0.0)
    stream.write_frames(train)
    assert train.count == 10
    assert buffer.sent - sent == 10 * (1452 - 16 - PACKET_MAX)


def test_a_further_message_adds_three_bytes() -> None:
    assert figures.further(10_000) == {"first": 3, "later": 3}


def test_calls_and_messages_share_datagrams() -> None:
    found = figures.coalescing()
    assert sum(found["calls"]["on"]) <= 12
    assert sum(found["messages"]["on"]) <= 12
    # Each by itself, it would be this many.
    assert found["calls"]["off"][0] >= 100
    assert found["messages"]["off"][0] >= 100


def test_acks_are_few_at_every_loss_rate() -> None:
    found = figures.acknowledging()
    assert found["batches"]["share"] <= 0.001
    assert found["single"]["share"] <= 0.005
    # Counted as all headers are, without tags: the windows that losses leave get an ACK for every second packet.
    assert max(found[label]["without tags"] for label in ("1%", "10%")) <= 0.006


def test_the_page_has_the_committed_figures() -> None:
    page = report.PAGE.read_text()
    assert insert(page, report.markdown(json.loads(report.RESULTS.read_text()))) == page
