"""Connection ids: never the same twice, never one that the other side has forgotten, never more than allowed."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.config import LIMITS
from jsp.engine.cids import LocalCids, RemoteCids
from jsp.errors import Code, ProtocolViolation
from jsp.wire import frames
from jsp.wire.buffer import Reader, Writer
from tests.profiles import examples

PATH = 3


def cid_of(sequence: int) -> bytes:
    return b"cid" + sequence.to_bytes(4, "big")


def token_of(sequence: int) -> bytes:
    return b"token" + sequence.to_bytes(11, "big")


class Routes:
    """Where packets go by their ids: the endpoint's part."""

    def __init__(self) -> None:
        self.routed: dict[bytes, int] = {}
        self.made = 0

    def make(self, path_id: int) -> tuple[bytes, bytes]:
        self.made += 1
        cid = cid_of(self.made)
        assert cid not in self.routed
        self.routed[cid] = path_id
        return cid, token_of(self.made)

    def drop(self, cid: bytes) -> None:
        del self.routed[cid]


class Packet(Writer):
    """One packet of a train: room, and the tokens of its frames."""

    def __init__(self, buffer: bytearray, pos: int, end: int) -> None:
        super().__init__(buffer, pos, end)
        self.tokens: list[tuple[Any, int, int]] = []

    def note(self, owner: Any, a: int, b: int) -> None:
        self.tokens.append((owner, a, b))


def written(part: LocalCids | RemoteCids, room: int = 1000) -> tuple[list[tuple[Any, ...]], list[tuple[Any, int, int]]]:
    """(frames, tokens) of one packet with `room` bytes."""
    writer = Packet(bytearray(1200), 0, room)
    tokens = writer.tokens
    part.write_frames(writer)  # type: ignore[arg-type]  # all it uses of a train
    assert writer.pos <= room
    reader = Reader(writer.buffer, 0, writer.pos)
    out: list[tuple[Any, ...]] = []
    while reader.remaining():
        kind = reader.pull_u8()
        out.append((kind, *(frames.parse_new_cid if kind == frames.NEW_CID else frames.parse_two)(reader)))
    assert len(out) == len(tokens)
    return out, tokens


def new_cid(sequence: int) -> tuple[Any, ...]:
    return frames.NEW_CID, PATH, sequence, 0, cid_of(sequence), token_of(sequence)


def retire_cid(sequence: int) -> tuple[Any, ...]:
    return frames.RETIRE_CID, PATH, sequence


# --- ours ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def routes() -> Routes:
    return Routes()


@pytest.fixture
def local(routes: Routes) -> LocalCids:
    routes.routed[b"first"] = PATH
    return LocalCids(PATH, b"first", routes.make, routes.drop)


def test_a_spare_is_given_out_and_told_until_it_arrived(local: LocalCids) -> None:
    local.issue(8)
    assert local.active == {0: b"first", 1: cid_of(1)}
    assert local.has_frames()
    assert written(local)[0] == [new_cid(1)]
    assert not local.has_frames()
    local.on_lost(1, 0)
    assert written(local)[0] == [new_cid(1)]
    local.on_acked(1, 0)
    local.on_lost(1, 0)
    assert not local.has_frames()
    local.issue(8)
    assert not local.has_frames()


@pytest.mark.parametrize(("limit", "given_out"), [(0, 1), (1, 1), (2, 2), (8, 2)])
def test_the_peer_gets_as_many_as_it_keeps_and_two_at_most(local: LocalCids, limit: int, given_out: int) -> None:
    local.issue(limit)
    assert len(local.active) == given_out


def test_a_retired_id_is_replaced_and_routed_no_more(local: LocalCids, routes: Routes) -> None:
    local.issue(2)
    written(local)
    local.retire(0)
    assert routes.routed == {cid_of(1): PATH}
    local.issue(2)
    assert written(local)[0] == [new_cid(2)]
    local.retire(0)
    assert set(local.active) == {1, 2}


def test_n75_retiring_what_was_never_given_out_ends_the_connection(local: LocalCids) -> None:
    for sequence in (1, 2, 1 << 61):
        with pytest.raises(ProtocolViolation) as caught:
            local.retire(sequence)
        assert caught.value.code == Code.PROTOCOL_VIOLATION
    # Nor can the peer know one that still waits to be told.
    local.issue(2)
    with pytest.raises(ProtocolViolation):
        local.retire(1)
    written(local)
    local.retire(1)


def test_an_id_that_is_retired_is_not_told_again(local: LocalCids) -> None:
    local.issue(2)
    written(local)
    local.retire(1)
    local.on_lost(1, 0)
    assert not local.has_frames()
    local.issue(2)
    written(local)
    local.on_lost(2, 0)
    local.retire(2)
    assert not local.has_frames()
    assert written(local)[0] == []


def test_what_does_not_fit_waits_for_the_next_packet(local: LocalCids) -> None:
    local.issue(2)
    assert written(local, room=20) == ([], [])
    assert local.has_frames()
    assert len(written(local)[0]) == 1


def test_a_frame_that_arrived_after_all_is_not_told_again(local: LocalCids) -> None:
    local.issue(2)
    written(local)
    local.on_lost(1, 0)
    local.on_acked(1, 0)
    assert not local.has_frames()


def test_a_peer_that_retires_without_acknowledging_makes_us_keep_nothing(routes: Routes) -> None:
    kept: list[bytes] = []

    def make(path_id: int) -> tuple[bytes, bytes]:
        cid, token = routes.make(path_id)
        kept.append(token)
        return cid, token

    local = LocalCids(PATH, b"first", make, routes.drop)
    routes.routed[b"first"] = PATH
    for sequence in range(200):
        local.issue(2)
        written(local)
        local.retire(sequence)
    held = sum(sys.getrefcount(token) > 3 for token in kept)
    assert held <= 8, f"reset tokens of {held} retired ids"


def test_close_routes_nothing_any_more(local: LocalCids, routes: Routes) -> None:
    local.issue(8)
    local.close()
    assert not routes.routed
    assert not local.active


# --- the peer's ----------------------------------------------------------------------------------------------------


@pytest.fixture
def remote() -> RemoteCids:
    return RemoteCids(PATH, cid_of(0))


def add(remote: RemoteCids, sequence: int, retire_before: int = 0) -> None:
    remote.add(sequence, retire_before, cid_of(sequence), token_of(sequence))


def violation(remote: RemoteCids, sequence: int, retire_before: int = 0, cid: bytes | None = None) -> int:
    with pytest.raises(ProtocolViolation) as caught:
        remote.add(sequence, retire_before, cid or cid_of(sequence), token_of(sequence))
    return caught.value.code


def test_a_change_of_id_retires_the_old_one(remote: RemoteCids) -> None:
    assert not remote.rotate()
    add(remote, 1)
    assert remote.current == cid_of(0)
    assert remote.rotate()
    assert (remote.current, remote.reset_tokens) == (cid_of(1), {token_of(1)})
    assert written(remote)[0] == [retire_cid(0)]
    assert not remote.has_frames()
    assert not remote.rotate()


def test_a_retirement_is_told_until_it_arrived(remote: RemoteCids) -> None:
    add(remote, 1)
    remote.rotate()
    _, [(owner, sequence, _)] = written(remote)
    assert owner is remote
    remote.on_lost(sequence, 0)
    remote.on_lost(sequence, 0)
    assert written(remote)[0] == [retire_cid(0)]
    remote.on_lost(sequence, 0)
    remote.on_acked(sequence, 0)
    assert not remote.has_frames()


def test_spares_are_used_in_their_order(remote: RemoteCids) -> None:
    for sequence in (3, 1, 2):
        add(remote, sequence)
    used = []
    while remote.rotate():
        used.append(remote.current)
    assert used == [cid_of(1), cid_of(2), cid_of(3)]


def test_told_twice_is_told_once(remote: RemoteCids) -> None:
    for _ in range(3):
        add(remote, 0)
        add(remote, 1)
    assert remote.rotate()
    assert not remote.rotate()


def test_one_number_for_two_ids_ends_the_connection(remote: RemoteCids) -> None:
    add(remote, 1)
    assert violation(remote, 1, cid=b"other") == Code.PROTOCOL_VIOLATION
    assert violation(remote, 0, cid=b"other") == Code.PROTOCOL_VIOLATION


def test_one_id_under_two_numbers_ends_the_connection(remote: RemoteCids) -> None:
    add(remote, 1)
    assert violation(remote, 2, cid=cid_of(0)) == Code.PROTOCOL_VIOLATION
    assert violation(remote, 2, cid=cid_of(1)) == Code.PROTOCOL_VIOLATION


def test_an_id_given_back_is_not_used_again_when_its_frame_comes_twice(remote: RemoteCids) -> None:
    """NEW_CID was taken for lost, sent again, and both arrive: the peer no longer routes that id."""
    add(remote, 1)
    remote.rotate()
    add(remote, 2)
    remote.rotate()
    written(remote)
    add(remote, 1)
    assert remote.current == cid_of(2)
    assert not remote.rotate(), f"changed to {remote.current!r}, which was given back"


def test_an_order_to_retire_is_obeyed_at_once(remote: RemoteCids) -> None:
    add(remote, 1)
    add(remote, 2)
    add(remote, 3, retire_before=3)
    assert remote.current == cid_of(3)
    assert sorted(written(remote)[0]) == [retire_cid(0), retire_cid(1), retire_cid(2)]
    assert not remote.rotate()
    # What comes late from before that line goes straight back.
    remote2 = RemoteCids(PATH, cid_of(0))
    add(remote2, 5, retire_before=5)
    written(remote2)
    add(remote2, 2)
    assert written(remote2)[0] == [retire_cid(2)]
    assert not remote2.rotate()
    # And an older order changes nothing.
    add(remote2, 6, retire_before=1)
    assert remote2.current == cid_of(5)


def test_more_ids_than_allowed_end_the_connection(remote: RemoteCids) -> None:
    for sequence in range(1, LIMITS.connection_ids):
        add(remote, sequence)
    assert violation(remote, LIMITS.connection_ids) == Code.CONNECTION_ID_LIMIT


def test_ids_that_make_room_for_themselves_are_within_the_limit(remote: RemoteCids) -> None:
    """RFC 9000 5.1.1: the limit is judged after the frame's own order to retire was obeyed."""
    for sequence in range(1, LIMITS.connection_ids):
        add(remote, sequence)
    add(remote, LIMITS.connection_ids, retire_before=1)
    assert remote.current == cid_of(1)


@pytest.mark.parametrize("acknowledged", [False, True])
def test_n74_retirements_that_are_never_acknowledged_are_bounded(remote: RemoteCids, acknowledged: bool) -> None:
    """Spec section 4.3: at most 16 may wait. A peer withholds its acknowledgements and orders one after another."""

    def flood() -> None:
        for sequence in range(1, 1000):
            add(remote, sequence, retire_before=sequence)
            for _, number, _ in written(remote)[1]:
                if acknowledged:
                    remote.on_acked(number, 0)

    if acknowledged:
        flood()
        return
    with pytest.raises(ProtocolViolation) as caught:
        flood()
    assert caught.value.code == Code.CONNECTION_ID_LIMIT


def test_n74_numbers_below_an_order_to_retire_are_not_remembered(remote: RemoteCids) -> None:
    """They go back at once, and the peer acknowledges that."""
    add(remote, 10**6, retire_before=10**6)
    for sequence in range(1, 20_000, 2):
        add(remote, sequence)
        add(remote, sequence)
        out, tokens = written(remote)
        assert out[-1] == retire_cid(sequence)
        for _, number, _ in tokens:
            remote.on_acked(number, 0)
    assert not remote._retired
    assert not remote._unacknowledged


def test_numbers_with_holes_are_bounded(remote: RemoteCids) -> None:
    def flood() -> None:
        for sequence in range(2, 1000, 2):
            add(remote, sequence)
            remote.rotate()
            for _, number, _ in written(remote)[1]:
                remote.on_acked(number, 0)

    with pytest.raises(ProtocolViolation) as caught:
        flood()
    assert caught.value.code == Code.CONNECTION_ID_LIMIT
    assert len(remote._retired) <= 2 * LIMITS.connection_ids + 1


def test_retirements_that_cannot_be_sent_are_bounded(remote: RemoteCids) -> None:
    for sequence in range(1, 2 * LIMITS.connection_ids + 1):
        add(remote, sequence, retire_before=sequence)
    assert violation(remote, 1000, retire_before=1000) == Code.CONNECTION_ID_LIMIT


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("issue"), st.integers(0, 9)),
        st.tuples(st.just("issue"), st.just(2)),
        st.tuples(st.just("rotate"), st.just(0)),
        st.tuples(st.just("deliver"), st.integers(0, 30)),
        st.tuples(st.just("lose"), st.integers(0, 30)),
        st.tuples(st.just("delay"), st.integers(0, 30)),
    ),
    min_size=20,
    max_size=80,
)


@examples(150)
@given(STEPS)
def test_both_ends_agree_over_a_bad_network(steps: list[tuple[str, int]]) -> None:
    """Whatever is lost, late or taken for lost: the id in use is routed at the other end, and never used before."""
    routes = Routes()
    routes.routed[cid_of(0)] = PATH
    local = LocalCids(PATH, cid_of(0), routes.make, routes.drop)
    remote = RemoteCids(PATH, cid_of(0))
    used = [remote.current]
    under_way: list[tuple[tuple[Any, ...], tuple[Any, int, int]]] = []
    for step, n in steps:
        if step == "issue":
            local.issue(n)
        elif step == "rotate" and remote.rotate():
            used.append(remote.current)
        for part in (local, remote):
            under_way += zip(*written(part), strict=True)
        if not under_way or step not in ("deliver", "lose", "delay"):
            continue
        frame, (owner, a, b) = under_way.pop(n % len(under_way))
        if step != "deliver":
            owner.on_lost(a, b)
            if step == "delay":
                under_way.append((frame, (owner, a, b)))
            continue
        if frame[0] == frames.NEW_CID:
            remote.add(*frame[2:])
        else:
            local.retire(frame[2])
        owner.on_acked(a, b)
        assert remote.current in routes.routed
    assert len(used) == len(set(used))
