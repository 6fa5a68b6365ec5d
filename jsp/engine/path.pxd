# C types of path.py.
import cython
from jsp.engine.ack_frequency cimport AckFrequency
from jsp.engine.cids cimport LocalCids, RemoteCids
from jsp.engine.mtu_search cimport MtuSearch
from jsp.recovery.loss cimport LossDetector, PacketSpace

cdef long long _CHALLENGE_TRIES
cdef long long _OPENING_TRIES
cdef double _RESPONSES_PER_S
cdef long long _RESPONSES_MAX
cdef long long _UNLIMITED
cdef long long _BULK_PACKETS
cdef long long _BASE
cdef long long _WINDOW_DATAGRAMS
cdef long long _LARGE_LOST_MAX
cdef long long _TIMEOUTS_MAX


cdef class Challenge:
    cdef public object address
    cdef public bytes data
    cdef public bint due
    cdef public object local
    cdef public long long tries


cdef class Path:
    cdef object _congestion
    cdef object _fallback_asked
    cdef object _fallback_local
    cdef object _response_rate
    cdef public AckFrequency ack_frequency
    cdef public long long arriving
    cdef public long long arriving_at
    cdef public object arriving_to
    cdef public bint backup
    cdef public double carried
    cdef public list challenges
    cdef public bint closing
    cdef public double due
    cdef public object fallback
    cdef public long long id
    cdef public long long key_phase_start
    cdef public bint left
    cdef public object local
    cdef public LocalCids local_cids
    cdef public long long mtu
    cdef public long long mtu_limit
    cdef public bint opened
    cdef public bint peer_backup
    cdef public long long peer_datagram_max
    cdef public double peer_min_ack_delay
    cdef public long long received
    cdef public LossDetector recovery
    cdef public bint reliable
    cdef public object remote
    cdef public RemoteCids remote_cids
    cdef public bint replaces
    cdef public list responses
    cdef public MtuSearch search
    cdef public long long sent
    cdef public str source
    cdef public PacketSpace space
    cdef public long long status_seen
    cdef public long long udp_mtu
    cdef public bint validated
    cdef public bint was_validated
    cdef public double weight

    cpdef recall(self, destinations, str source, double now)
    cpdef learn(self, destinations, double now)
    cpdef tuple _route(self)
    cpdef double probe_timeout(self) except? -1
    cpdef long long amplification_left(self) except? -1
    cpdef long long response_limit(self, address, long long size) except? -1
    cpdef set_mtu(self, long long mtu)
    cpdef long long datagram_size(self) except? -1
    cpdef plan_probe(self, double now)
    cpdef on_acked(self, long long number, long long lost)
    cpdef on_lost(self, long long number, long long lost)
    cpdef leave_black_hole(self)
    cpdef _restart_search(self)
    cpdef bint on_hint(self, long long size) except? -1
    cpdef on_too_large(self, long long size)
    @cython.locals(space=PacketSpace)
    cpdef skip_number(self, long long datagram, entropy)
    cpdef plan_acks(self)
    cpdef place(self, remote, local)
    cpdef _move(self, remote, local)
    cpdef fit(self)
    cpdef follow(self, Path other)
    cpdef reopen(self, remote, local)
    cpdef challenge(self, bytes data)
    cpdef close(self, double until)
    cpdef on_heard_again(self)
    cpdef rebind(self, remote, local, long long size, bytes fresh, double now)
    cpdef _restart_recovery(self)
    cpdef on_arriving(self, long long start, long long end, local)
    cpdef on_challenge(self, bytes data, source, double now)
    cpdef on_challenge_sent(self, Challenge challenge, double now)
    cpdef bint on_response(self, bytes data, source) except? -1
    cpdef _on_validated(self)
    cpdef bint _is_new(self) except? -1
    cpdef bint on_challenge_timeout(self) except? -1
