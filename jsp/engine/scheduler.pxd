# C types of scheduler.py.


cdef class Scheduler:
    cdef list _queues
    cdef long long _ready
    cdef public list credit_blocked
    cdef public list done
    cdef public list stream_blocked

    cpdef add(self, sender)
    cpdef remove(self, sender)
    cpdef on_blocked(self, sender, bint by_stream)
    cpdef on_credit(self)
    cpdef fill(self, train)
