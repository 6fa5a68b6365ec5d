# C types of session.py.
import cython
cimport jsp.rpc.bounds as bounds
from jsp.rpc.windows cimport Credit, Inbox

cdef long long _COST_MAX
cdef long long _CALL
cdef long long _NOTIFY
cdef long long _STREAM
cdef long long _REPLY
cdef long long _ERROR
cdef long long _ITEM
cdef long long _END
cdef long long _CREDIT
cdef long long _FEEDS
cdef long long _CALLS_MAX
cdef long long _HELD_MAX
cdef long long _WINDOW
cdef long long _VALUE_COST
cdef long long _LOST
cdef long long _FAILED


cdef class ClientCall:
    cdef public Credit credit
    cdef public object failure
    cdef public object feeder
    cdef public long long final
    cdef public long long id
    cdef public Inbox inbox
    cdef public long long kind
    cdef public long long lane
    cdef public bint over
    cdef public bytes payload
    cdef public object signal
    cdef public long long size
    cdef public object waiter

    cpdef fail(self, error)


cdef class ClientSession:
    cdef public long long _last
    cdef public dict calls

    @cython.locals(last=cython.longlong)
    cpdef long long next_id(self) except? -1
    cpdef open(self, ClientCall call)
    @cython.locals(call=ClientCall)
    cpdef ClientCall handle_frame(self, long long kind, long long call_id, bytes payload)
    cdef _finish(self, ClientCall call, long long final, bytes payload)
    @cython.locals(call=ClientCall)
    cpdef list close(self)


cdef class ServedCall:
    cdef public long long cost
    cdef public Credit credit
    cdef public bint feeds
    cdef public long long id
    cdef public Inbox inbox
    cdef public long long kind
    cdef public bint over
    cdef public object owner
    cdef public bytes payload
    cdef public object signal
    cdef public long long size
    cdef public bint started
    cdef public bint stoppable
    cdef public object worker


cdef class ServerSession:
    cdef long long _cost
    cdef long long _held
    cdef object _owner
    cdef object _waiting
    cdef public dict calls

    @cython.locals(calls=dict, call=ServedCall)
    cpdef ServedCall handle_request(self, long long kind, long long call_id, bytes payload)
    @cython.locals(call=ServedCall)
    cpdef ServedCall handle_frame(self, long long kind, long long call_id, bytes payload)
    @cython.locals(call=ServedCall)
    cpdef ServedCall handle_cancel(self, long long call_id, bytes payload)
    @cython.locals(call=ServedCall)
    cpdef ServedCall poll_start(self)
    @cython.locals(cost=cython.longlong)
    cdef bint _can_start(self, ServedCall call) except? -1
    cpdef charge(self, ServedCall call, long long size)
    cpdef finish(self, ServedCall call)
    @cython.locals(call=ServedCall)
    cpdef list close(self)


cpdef bint is_request(long long kind) except? -1
