# C types of reordering.py.
import cython
from jsp.recovery.sent cimport SentLedger, SentRun

cdef long long _PACKETS
cdef long long _PACKETS_MAX
cdef double _TIME
cdef double _TIME_MAX
cdef long long _CALM_EVENTS
cdef long long _KEPT
cdef double _KEPT_ROUND_TRIPS
cdef long long _MARKED


cdef class Reordering:
    cdef long long _calm
    cdef long long _first
    cdef SentLedger _gone
    cdef long long _missing
    cdef double _until
    cdef public long long late
    cdef public long long late_bytes
    cdef public long long packets
    cdef public double time

    @cython.locals(gone=list, run=SentRun)
    cpdef on_lost(self, list lost, bint event, double now, double rtt)
    cpdef on_mark(self)
    cpdef bint waits(self) except? -1
    @cython.locals(late=list, run=SentRun, count=cython.longlong)
    cpdef bint on_ack(self, list starts, list stops, double now, double rtt) except? -1
