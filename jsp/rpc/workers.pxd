# C types of workers.py.
import cython
from jsp.net.waiting cimport Signal
from jsp.rpc.session cimport ServedCall

cdef long long _IDLE_MAX


cdef class Workers:
    cdef object _backlog
    cdef set _busy
    cdef Signal _ended
    cdef object _execute
    cdef list _idle
    cdef object _limit
    cdef bint _stopping

    cpdef start(self, ServedCall call)
    cpdef lead(self, work)
    cdef _employ(self, job)
    cpdef _work(self, job)
    cpdef run(self, worker, ServedCall call)
    cdef _run(self, worker, ServedCall call)
    cpdef cancel(self, ServedCall call)
    cpdef _throw(self, ServedCall call)
