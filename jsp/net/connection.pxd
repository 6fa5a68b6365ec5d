# C types of connection.py.
import cython
cimport jsp.crypto.guard as guard
cimport jsp.net.clock as clock
cimport jsp.net.dispatching as dispatching
cimport jsp.net.here as here
cimport jsp.net.receipt as receipts
from jsp.engine.connection cimport ConnectionCore
from jsp.engine.out_message cimport OutMessage
from jsp.net.endpoint cimport Endpoint
from jsp.net.stream cimport Stream
from jsp.net.waiting cimport Signal, end_watcher

cdef long long _URGENCIES


cdef class Connection:
    cdef bint _asked
    cdef bint _closing
    cdef object _coding
    cdef readonly ConnectionCore _core
    cdef readonly Endpoint _endpoint
    cdef bint _forgotten
    cdef object _hub
    cdef list _incoming
    cdef bint _may_code
    cdef Signal _message_arrived
    cdef readonly Signal _moved
    cdef dict _pings
    cdef object _refusal
    cdef Signal _room
    cdef Signal _stream_arrived
    cdef dict _streams
    cdef unsigned long _thread
    cdef public double armed_for
    cdef public object on_closed
    cdef public object on_connected
    cdef public object on_messages
    cdef public object on_presented
    cdef public object on_silent
    cdef public object on_stream
    cdef public object on_untaken
    cdef public bint owns_endpoint
    cdef public bint pinned
    cdef public tuple remotes
    cdef public object timer
    cdef public long long tries
    cdef public object wanted_way
    cdef object __weakref__

    @cython.locals(core=ConnectionCore, message=OutMessage, now=cython.double)
    cpdef send(self, data, mode=*, bint ordered=*, timeout=*, long long priority=*, key=*, bint compress=*, bint redundant=*)
    cpdef take_message(self)
    cpdef changed(self)
    cpdef resume(self, waiter)
    @cython.locals(seconds=cython.double)
    cpdef bint spin(self, Signal signal) except? -1
    cpdef wake(self, Signal signal)
    cpdef changed_if_due(self)
    cpdef release(self, Stream stream)
    cpdef wait_for(self, Signal signal, deadline, what)
    cpdef check_hub(self)
    cpdef _check_open(self)
    cpdef _check_usable(self)
    cpdef dispatch(self)
    cpdef disarm(self)
