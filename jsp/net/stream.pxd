# C types of stream.py.
import cython
cimport jsp.engine.streams as streams
cimport jsp.net.clock as clock
from jsp.engine.recv_stream cimport RecvStream
from jsp.engine.send_stream cimport SendStream
from jsp.net.connection cimport Connection
from jsp.net.waiting cimport Signal

cdef long long _PIECE
cdef long long _REFUSED_FLAGS
cdef object _RESET
cdef object _OPEN


cdef class Stream:
    cdef bint _closed
    cdef Connection _connection
    cdef long long _io_refs
    cdef bint _read_shut
    cdef bint _released
    cdef object _timeout
    cdef public object id
    cdef public streams.Stream inner
    cdef public Signal readable
    cdef public Signal writable
    cdef object __weakref__

    cpdef bytes recv(self, long long bufsize, long long flags=*)
    cpdef recv_into(self, buffer, long long nbytes=*, long long flags=*)
    cpdef _check_call(self, long long flags)
    cpdef read_into(self, view)
    @cython.locals(recv=RecvStream)
    cpdef bint has_news(self) except? -1
    @cython.locals(recv=RecvStream, connection=Connection, size=cython.longlong)
    cpdef long long _wait_readable(self, deadline=*) except? -1
    cpdef bytes _take(self, long long limit)
    cpdef long long _take_into(self, view) except? -1
    cpdef _wait(self, Signal signal, deadline, what)
    cpdef send(self, data, long long flags=*)
    cpdef write_some(self, view)
    @cython.locals(start=cython.longlong)
    cpdef sendall(self, data, long long flags=*)
    cpdef _write(self, bytes data)
    cpdef long long _limit(self) except? -1
    @cython.locals(send=SendStream, connection=Connection, room=cython.longlong)
    cpdef long long _wait_writable(self, deadline=*) except? -1
