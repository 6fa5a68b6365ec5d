# C types of lanes.py.
import cython
from jsp.engine.send_stream cimport SendStream
from jsp.net.connection cimport Connection
from jsp.net.stream cimport Stream
from jsp.net.waiting cimport Signal
from jsp.rpc.codec cimport Framer

cdef long long _SMALL
cdef long long _LARGE
cdef long long _SMALL_MAX
cdef long long _READ_SIZE
cdef long long _KEPT_MAX
cdef long long _ROOM_MIN


cdef class Lanes:
    cdef Connection _connection
    cdef list _corked
    cdef long long _kept
    cdef list _streams

    @cython.locals(stream=Stream)
    cpdef send(self, long long lane, bytes frame)
    @cython.locals(stream=Stream)
    cdef Stream _open(self, long long lane)
    @cython.locals(stream=Stream)
    cpdef bint try_send(self, long long lane, bytes frame) except? -1
    cpdef cork(self)
    cpdef bint is_corked(self) except? -1
    @cython.locals(stream=Stream, sending=SendStream)
    cpdef cork_for_turn(self)
    cdef _keep(self, bytes frame)
    @cython.locals(frames=list)
    cpdef uncork(self)
    cpdef end_turn(self)
    cpdef switch(self, value)


cpdef long long lane_for(bytes frame) except? -1


cdef class LaneReader:
    cdef Framer _framer
    cdef object _handle
    cdef readonly object stream

    @cython.locals(frames=list)
    cpdef read(self)


cdef class Listener:
    cdef object _handle
    cdef long long _max
    cdef bint _over
    cdef list _readers
    cdef object _refuse
    cdef readonly Signal arrived
    cdef public bint held

    cpdef open(self, Stream stream)
    @cython.locals(reader=LaneReader, stream=Stream)
    cpdef read(self)
    cpdef switch(self, value)
