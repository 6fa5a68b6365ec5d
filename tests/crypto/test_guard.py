"""The fork guard, in processes of their own that really fork."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

ROOT = Path(__file__).parents[2]

# What every story starts with: keys of a parent, an attempt to use them, and a child that reports through a pipe.
PRELUDE = """
import json, os, sys
from jsp.crypto.protection import LongKeys, OpenKeys, SealKeys
from jsp.crypto.suites import CHACHA20_POLY1305
from jsp.errors import ForkedConnection
from jsp.wire.buffer import PacketBuffer

def make_keys():
    return SealKeys(CHACHA20_POLY1305, bytes(32)), OpenKeys(CHACHA20_POLY1305, bytes(32)), LongKeys(bytes(32))

HEADER = 1 + 4 + 2

def seal(keys, number, phase=0):
    slots = PacketBuffer(2000)
    slots.data[0] = 0x80 | phase << 1
    slots.data[5:7] = number.to_bytes(2, "big")
    keys.seal_train(slots, 1, 100, 100, HEADER, 0, number)
    return bytes(slots.data[:100])

def open_(keys, packet):
    slots = PacketBuffer(2000)
    slots.data[:100] = packet
    return [number for number, _, _ in keys.open_batch(slots, 0, 100, 100, 5, 0, -1)]

def outcome(call, *args):
    try:
        call(*args)
    except ForkedConnection:
        return "forked"
    except Exception as error:
        return repr(error)
    return "fine"

seal_keys, open_keys, long_keys = make_keys()

def try_all():
    # The peer's first packet of the next phase makes an opener derive keys.
    peer = SealKeys(CHACHA20_POLY1305, bytes(32))
    peer.update()
    updated = seal(peer, 7, phase=1)
    open_keys.update_allowed = True
    return {
        "seal": outcome(seal, seal_keys, 1),
        "update": outcome(seal_keys.update),
        "long": outcome(long_keys.seal, b"header", 1, b"text"),
        "advance": outcome(open_, open_keys, updated),
    }

def in_child(story):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.write(writing, json.dumps(story()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(text)

"""

FORKED = {"seal": "forked", "update": "forked", "long": "forked", "advance": "forked"}
FINE = {"seal": "fine", "update": "fine", "long": "fine", "advance": "fine"}


def run(story: str) -> Any:
    """What a story prints, run in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + story],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_n88_a_child_neither_seals_nor_derives_with_its_parents_keys_and_the_parent_goes_on() -> None:
    story = """
child = in_child(try_all)
print(json.dumps([child, try_all()]))
"""
    assert run(story) == [FORKED, FINE]


@pytest.mark.parametrize(
    ("moment", "goal"),
    [
        ("server.accepted", "c.keys.seal"),  # the ClientHello is on its way
        ("c.keys.seal", "server.accepted[0].keys.seal"),  # the client's Finished is
    ],
)
def test_n88_a_child_does_not_finish_its_parents_handshake(moment: str, goal: str) -> None:
    """Both would come to the same keys, and use them from packet number 0 on."""
    story = f"""
from tests.sim.world import World, pair
world = World()
client, server = pair(world)
c = client.connect()
world.run_until(lambda: {moment})

def go_on():
    return outcome(world.run_until, lambda: {goal})

print(json.dumps([in_child(go_on), go_on()]))
"""
    assert run(story) == ["forked", "fine"]


def test_a_child_derives_nothing_from_its_parents_handshake() -> None:
    story = """
from tests.crypto import machines
client, server = machines.client(), machines.server()
client.start()
hello = client.outgoing.pop()
tried = [in_child(lambda: outcome(server.receive, *hello))]
server.receive(*hello)
tried.append(in_child(lambda: outcome(client.receive, *server.outgoing[0])))
for message in server.outgoing[:-1]:
    client.receive(*message)
tried.append(in_child(lambda: outcome(client.accept)))
client.accept()
client.receive(*server.outgoing[-1])
print(json.dumps([tried, client.step.name]))
"""
    assert run(story) == [["forked"] * 3, "COMPLETE"]


def test_n88_keys_of_an_endpoint_belong_to_the_process_that_made_it() -> None:
    story = """
from jsp.config import Config
from jsp.crypto.credentials import Credentials
from jsp.engine.endpoint import EndpointCore
endpoint = EndpointCore(Config(), os.urandom)

def connect():
    connection = endpoint.connect(0.0, 0.0, ("192.0.2.1", 1), Credentials())
    return outcome(connection.poll_transmit, 0.0)

print(json.dumps([in_child(connect), connect()]))
"""
    assert run(story) == ["forked", "fine"]


def test_a_child_that_runs_before_fork_returns_is_stopped_too() -> None:
    """Hooks that were registered after ours run the parent's code inside `fork()` in the child."""
    story = """
early = {}
os.register_at_fork(after_in_child=lambda: early.update(try_all()))
child = in_child(lambda: [dict(early), try_all()])
print(json.dumps([child, dict(early), try_all()]))
"""
    assert run(story) == [[FORKED, FORKED], {}, FINE]


def test_a_hook_that_was_there_before_the_library_is_stopped_too() -> None:
    story = "print(json.dumps(in_child(lambda: dict(early))))"
    hook = """
import os
early = {}
os.register_at_fork(after_in_child=lambda: early.update(try_all()))
"""
    done = subprocess.run(
        [sys.executable, "-c", hook + PRELUDE + story],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == FORKED


def test_a_child_makes_its_own_keys_and_a_grandchild_does_not_get_them() -> None:
    story = """
def child():
    global seal_keys, open_keys, long_keys
    inherited = try_all()
    old = (seal_keys, open_keys, long_keys)
    seal_keys, open_keys, long_keys = make_keys()
    grandchild = in_child(try_all)
    own = try_all()
    seal_keys, open_keys, long_keys = old
    return [inherited, grandchild, own, try_all()]

print(json.dumps([in_child(child), try_all()]))
"""
    assert run(story) == [[FORKED, FORKED, FINE, FORKED], FINE]


def test_packets_sealed_around_a_fork_all_open() -> None:
    story = """
packets = [seal(seal_keys, 0)]
in_child(lambda: outcome(seal, seal_keys, 1))
packets.append(seal(seal_keys, 1))
in_child(lambda: outcome(seal, seal_keys, 2))
packets.append(seal(seal_keys, 2))
print(json.dumps([open_(open_keys, packet) for packet in packets]))
"""
    assert run(story) == [[0], [1], [2]]


def test_a_greenlet_that_another_hook_resumes_in_the_child_cannot_seal() -> None:
    """What gevent does when any library yields in an `after_in_child` hook."""
    story = """
import gevent
from gevent import getcurrent
results = []
parent = os.getpid()

def sender():
    gevent.sleep(0)
    while True:
        results.append([os.getpid() == parent, outcome(seal, seal_keys, 1)])
        if os.getpid() != parent:
            return
        gevent.sleep(0.001)

gevent.spawn(sender)
gevent.sleep(0.005)
os.register_at_fork(after_in_child=lambda: gevent.sleep(0.05))
reading, writing = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(writing, json.dumps([r for r in results if not r[0]]).encode())
    os._exit(0)
os.close(writing)
with os.fdopen(reading) as pipe:
    in_the_child = json.loads(pipe.read())
os.waitpid(pid, 0)
before = len(results)
gevent.sleep(0.01)
after = results[before:]
print(json.dumps([in_the_child, bool(after) and all(r == [True, "fine"] for r in after)]))
"""
    in_child, parent_goes_on = run(story)
    assert in_child == [[False, "forked"]]
    assert parent_goes_on
