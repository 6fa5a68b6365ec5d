# C types of loss.py.
import cython
from jsp.recovery.acks cimport AckTracker
from jsp.recovery.controller cimport AckSample, Controller
from jsp.recovery.ecn cimport Ecn
from jsp.recovery.pacer cimport Pacer
from jsp.recovery.rate cimport DeliveryRate
from jsp.recovery.reordering cimport Reordering
from jsp.recovery.resume cimport CarefulResume
from jsp.recovery.rtt cimport RttEstimator
from jsp.recovery.sent cimport SentLedger, SentRun

cdef long long _SKIPPED_KEPT
cdef long long _SKIP_AFTER_MIN
cdef long long _BASE
cdef long long _ANY_SIZE


@cython.locals(i=cython.longlong, last=cython.longlong, number=cython.longlong)
cpdef bint _hold_any(list starts, list stops, list numbers) except? -1


cdef class PacketSpace:
    cdef public AckTracker acks
    cdef public bint handshake
    cdef public long long in_flight
    cdef public long long largest_acked
    cdef public double last_eliciting
    cdef public double loss_time
    cdef public long long next_number
    cdef public long long probes
    cdef public SentLedger sent
    cdef public long long skip_at
    cdef public list skipped
    cdef public bint sticky_backoff
    cdef public double waiting_since

    cpdef skip_number(self, long long packets, long long chance)


cdef class LossDetector:
    cdef double _anti_deadlock
    cdef long long _large
    cdef AckSample _sample
    cdef double _sampled_at
    cdef public Controller controller
    cdef public double deadline
    cdef public Ecn ecn
    cdef public bint handshake_done
    cdef public bint held
    cdef public long long in_flight
    cdef public long long large_lost
    cdef public long long packets_lost
    cdef public Pacer pacer
    cdef public double pacing_at
    cdef public double peer_max_ack_delay
    cdef public long long pto_count
    cdef public DeliveryRate rate
    cdef public bint reliable
    cdef public Reordering reordering
    cdef public CarefulResume resume
    cdef public RttEstimator rtt
    cdef public list spaces

    cpdef on_sent(self, PacketSpace space, SentRun run)
    cpdef on_probe_sent(self, PacketSpace space, SentRun run)
    cpdef restart(self, Controller controller)
    cpdef on_datagram_size(self, long long size)
    cpdef _forget_large(self)
    cpdef long long available(self) except? -1
    @cython.locals(allowed=cython.longlong, budget=cython.longlong, rate=cython.double, controller=Controller)
    cpdef long long allowance(self, long long datagram, double now) except? -1
    cpdef on_app_limited(self)
    @cython.locals(
        largest=cython.longlong, total=cython.longlong, fresh=cython.longlong, acked=list, newest=SentRun, run=SentRun,
        collapsed=cython.bint, further=cython.bint, sample=AckSample, controller=Controller,
        resume=CarefulResume,
    )
    cpdef long long on_ack(
        self, PacketSpace space, list starts, list stops, double delay, double now, tuple marks=*, bint short=*
    ) except? -1
    @cython.locals(held=cython.double)
    cpdef double _measure(self, PacketSpace space, SentRun newest, double delay, double now) except? -1
    @cython.locals(largest=cython.longlong, delay=cython.double, total=cython.longlong, lost=list, probes=list, run=SentRun, newest=SentRun, event=cython.bint)
    cpdef bint _detect_lost(self, PacketSpace space, double now, list starts=*, list stops=*) except? -1
    @cython.locals(count=cython.longlong, run=SentRun)
    cpdef _read_marks(self, list acked, tuple marks, double sent_time, double now)
    cpdef _find_late(self, list starts, list stops, double now)
    @cython.locals(deadline=cython.double, space=PacketSpace)
    cpdef update_deadline(self, double now, bint anti_deadlock, bint blocked)
    @cython.locals(once=cython.double)
    cpdef double _probe_after(self, double max_ack_delay) except? -1
    @cython.locals(deadline=cython.double, after=cython.double, since=cython.double, space=PacketSpace)
    cpdef double _probe_deadline(self) except? -1
    cpdef on_timeout(self, double now)
    @cython.locals(left=cython.longlong, run=SentRun)
    cpdef _offer_again(self, PacketSpace space)
    cpdef offer_all(self)
    cpdef give_up(self)
    cpdef discard(self, PacketSpace space)
