# C types of udp.py.
import cython
cimport jsp.net.datagrams as datagrams
from jsp.engine.traffic cimport Received, Transmit
from jsp.net.arrival cimport Arrival
from jsp.wire.buffer cimport PacketBuffer

cdef long long _RECEIVED_MAX
cdef long long _NAMES_MAX


cdef class UdpSocket:
    cdef Arrival _arrival
    cdef bint _ecn
    cdef long long _fd
    cdef public bint _gso
    cdef object _local_address
    cdef bytes _local_packed
    cdef dict _names
    cdef readonly set _no_gso
    cdef readonly object _socket
    cdef bint _wildcard
    cdef public object address
    cdef public object family
    cdef public tuple hints
    cdef public bint refused
    cdef public long long too_large
    cdef public bint whole

    @cython.locals(arrival=Arrival, size=cython.longlong)
    cpdef Received receive(self, PacketBuffer slots)
    cpdef _local(self, bytes packed)
    cpdef bint _take_errors(self, long long number) except? -1
    cpdef _note_size(self, remote, long long origin, long long most)
    cpdef bytes _name(self, remote)
    cpdef bytes _source(self, local)
    @cython.locals(
        segment=cython.longlong, single=cython.bint, sent=cython.longlong, source=bytes, name=bytes, size=cython.longlong,
        ecn=cython.longlong,
    )
    cpdef bint send(self, Transmit transmit) except? -1
    @cython.locals(sent=cython.longlong)
    cpdef long long _send_some(
        self, data, long long segment, remote, bytes name, bytes source, long long ecn
    ) except? -1
    cpdef _give_segmentation_up(self, remote)
    @cython.locals(segment=cython.longlong, start=cython.longlong, sent=cython.longlong, ecn=cython.longlong)
    cpdef bint _send_each(self, Transmit transmit, bytes name, bytes source) except? -1
