# C types of sent.py.
import cython

cdef double _NEVER


cdef class RangeOwner:
    cpdef on_acked(self, long long start, long long stop)
    cpdef on_lost(self, long long start, long long stop)


cdef class SentRun:
    cdef public bint app_limited
    cdef public long long count
    cdef public long long delivered
    cdef public double delivered_time
    cdef public long long first
    cdef public double first_sent
    cdef public long long in_flight
    cdef public long long lost
    cdef public bint marked
    cdef public RangeOwner owner
    cdef public long long size
    cdef public long long start
    cdef public long long step
    cdef public long long stop
    cdef public double time
    cdef public object tokens
    cdef public long long total

    cpdef carry(self, RangeOwner owner, long long start, long long stop, long long step)
    @cython.locals(cut=cython.longlong, total=cython.longlong, front=SentRun)
    cpdef SentRun take(self, long long count)
    cpdef tell_acked(self)
    cpdef tell_lost(self)


@cython.locals(run=SentRun)
cpdef SentRun make_run(long long first, long long count, long long size, long long total, double time, tokens=*)


cdef class SentLedger:
    cdef public list runs

    cpdef add(self, SentRun run)
    @cython.locals(
        runs=list, acked=list, kept=list, taken=list, run=SentRun, i=cython.longlong, start=cython.longlong,
        stop=cython.longlong, largest=cython.longlong, done=cython.longlong, gap=cython.longlong,
        count=cython.longlong,
    )
    cpdef list take_acked(self, list starts, list stops)
    @cython.locals(
        runs=list, lost=list, run=SentRun, limit=cython.longlong, count=cython.longlong, done=cython.longlong,
    )
    cpdef list take_lost(self, long long below, double now, double delay, long long largest_acked)
    @cython.locals(run=SentRun)
    cpdef double oldest_time(self, long long below) except? -1
