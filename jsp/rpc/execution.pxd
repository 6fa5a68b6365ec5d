# C types of execution.py.
import cython
cimport jsp.rpc.codec as codec
cimport jsp.rpc.lanes as lanes
from jsp.net.connection cimport Connection
from jsp.rpc.codec cimport Encoder
from jsp.rpc.lanes cimport Lanes
from jsp.rpc.session cimport ServedCall, ServerSession
from jsp.rpc.workers cimport Workers
from jsp.rpc.windows cimport Inbox

cdef long long _NOTIFY
cdef long long _STREAM
cdef long long _REPLY
cdef long long _ERROR
cdef long long _END
cdef long long _ITEMS
cdef long long _SMALL_MAX


cdef class Served:
    cdef bint _starting
    cdef readonly Connection connection
    cdef readonly bint debug
    cdef readonly Encoder encoder
    cdef readonly Lanes lanes
    cdef readonly object service
    cdef readonly ServerSession session
    cdef readonly Workers workers

    @cython.locals(call=ServedCall)
    cpdef start_waiting(self)
    cpdef finish(self, ServedCall call)
    cpdef bytes refusal(self, long long call_id, code, words)


@cython.locals(served=Served, frame=bytes)
cpdef execute(ServedCall call)
cdef bytes _outcome(ServedCall call, Served served)
cdef tuple _read(ServedCall call)
cdef _find(ServedCall call, service, name)
cdef bytes _run(ServedCall call, Served served, method, args, kwargs)
@cython.locals(lane=cython.longlong)
cdef _end(ServedCall call, Served served, bytes frame)


cdef class Incoming:
    cdef ServedCall _call
