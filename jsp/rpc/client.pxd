# C types of client.py.
import cython
cimport jsp.rpc.codec as codec
cimport jsp.rpc.lanes as lanes
from jsp.net.connection cimport Connection
from jsp.net.stream cimport Stream
from jsp.rpc.codec cimport Encoder
from jsp.rpc.lanes cimport Lanes, Listener
from jsp.rpc.session cimport ClientCall, ClientSession
from jsp.rpc.slots cimport Slots

cdef long long _CALL
cdef long long _NOTIFY
cdef long long _STREAM
cdef long long _CANCEL
cdef long long _REPLY
cdef long long _END
cdef long long _CREDIT
cdef long long _FEEDS
cdef long long _LOST
cdef long long _FAILED
cdef long long _SMALL
cdef long long _ITEMS
cdef long long _WINDOW


cdef class Client:
    cdef Encoder _encoder
    cdef set _greenlets
    cdef object _hub
    cdef Lanes _lanes
    cdef Listener _listener
    cdef readonly ClientSession _session
    cdef readonly Slots _slots
    cdef bint _spins
    cdef readonly Connection connection
    cdef readonly object proxy
    cdef public object timeout
    cdef object __weakref__

    cpdef call_with(self, method, args, kwargs, timeout)
    @cython.locals(call=ClientCall)
    cdef _call(self, method, args, kwargs)
    @cython.locals(listener=Listener)
    cdef _spin(self, ClientCall call)
    @cython.locals(
        session=ClientSession, call_id=cython.longlong, frame=bytes, size=cython.longlong, lane=cython.longlong,
        call=ClientCall,
    )
    cdef ClientCall _start(self, long long kind, method, args, kwargs, signal)
    cpdef outcome(self, ClientCall call)
    @cython.locals(credit=cython.longlong, payload=bytes)
    cpdef take_item(self, ClientCall call)
    @cython.locals(frame=bytes)
    cpdef cancel(self, ClientCall call)
    cpdef _on_stream(self, connection, stream)
    @cython.locals(call=ClientCall)
    cpdef _on_frames(self, list frames)
    cdef _wake(self, ClientCall call)
    cdef _stop_feeder(self, ClientCall call)
    cpdef _refuse(self, error)
    @cython.locals(call=ClientCall)
    cpdef _on_closed(self, connection)
