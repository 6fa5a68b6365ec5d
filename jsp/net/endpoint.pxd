# C types of endpoint.py.
import cython
cimport jsp.net.clock as clock
from jsp.engine.connection cimport ConnectionCore
from jsp.engine.endpoint cimport EndpointCore
from jsp.engine.traffic cimport Received, Transmit
from jsp.net.connection cimport Connection
from jsp.net.udp cimport UdpSocket
from jsp.net.waiting cimport Signal, end_watcher
from jsp.wire.buffer cimport PacketBuffer

cdef long long _BATCHES
cdef double _BUSY_S
cdef long long _SHORT
cdef double _SPINNING_MAX_S
cdef double _NOTED_EVERY_S
cdef double _HINT_EVERY_S
cdef long long _WOKEN_MAX


cdef class Endpoint:
    cdef dict _dirty
    cdef double _hinted
    cdef readonly long long _mistakes
    cdef dict _others
    cdef public object _reader
    cdef readonly object _resting
    cdef dict _shells
    cdef PacketBuffer _slots
    cdef bint _turn_due
    cdef double _turned
    cdef public Transmit _unsent
    cdef object _woken
    cdef object _writer
    cdef public object accept
    cdef public object carriers
    cdef public bint closed
    cdef public EndpointCore core
    cdef public object hub
    cdef public UdpSocket socket
    cdef public object watch
    cdef object __weakref__

    cpdef add_socket(self, UdpSocket socket)
    cpdef keep_sockets(self, used)
    cpdef UdpSocket _socket_of(self, Transmit transmit)
    cpdef list connections(self)
    cpdef changed(self, ConnectionCore core)
    cpdef wake(self, Signal signal)
    cpdef resume(self, waiter)
    @cython.locals(taken=cython.longlong, now=cython.double, end=cython.double)
    cpdef bint spin(self, Signal signal, double seconds) except? -1
    cpdef _schedule(self)
    cpdef _turn(self)
    cpdef _on_readable(self, UdpSocket socket=*)
    @cython.locals(received=Received, more=cython.bint)
    cpdef _receive(self, UdpSocket socket)
    cpdef take_from(self, carrier)
    cpdef list _take(self, Received received)
    @cython.locals(core=EndpointCore, touched=list, connection=ConnectionCore, shell=Connection, reply=Transmit)
    cpdef list _take_batch(self, Received received)
    cpdef _on_mistake(self)
    @cython.locals(core=ConnectionCore)
    cpdef _take_accepted(self)
    cpdef _on_refused(self)
    @cython.locals(core=ConnectionCore, now=cython.double)
    cpdef _on_hints(self, UdpSocket socket)
    cpdef on_timer(self, Connection shell)
    @cython.locals(deadline=cython.double, left=cython.double)
    cpdef _arm(self, Connection shell)
    @cython.locals(dirty=dict, core=ConnectionCore)
    cpdef _flush(self)
    cpdef _give_up(self, ConnectionCore core)
    @cython.locals(shell=Connection, now=cython.double, transmit=Transmit)
    cpdef flush(self, ConnectionCore core)
    cpdef _wait_writable(self, Transmit transmit)
    cpdef _on_writable(self)
    cpdef _stop_writer(self)
    cpdef close(self)
    cpdef leave_to_parent(self)
