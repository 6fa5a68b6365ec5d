# C types of sent.py.
import cython


cdef class SentRun:
    cdef public long long count
    cdef public long long first
    cdef public long long size
    cdef public long long step
    cdef public double time
    cdef public object tokens
    cdef public long long total

    @cython.locals(cut=cython.longlong, total=cython.longlong)
    cpdef SentRun take(self, long long count)
    cpdef acked(self)
    cpdef lost(self)


cdef class SentLedger:
    cdef public list runs

    cpdef add(self, SentRun run)
    @cython.locals(
        run=SentRun, i=cython.longlong, largest=cython.longlong, done=cython.longlong, gap=cython.longlong,
        count=cython.longlong,
    )
    cpdef list take_acked(self, starts, stops)
    @cython.locals(run=SentRun, limit=cython.longlong, count=cython.longlong, done=cython.longlong)
    cpdef list take_lost(self, long long below, double now, double delay, long long largest_acked)
    cpdef oldest_time(self, long long below)
