# C types of keying.py.
import cython
cimport jsp.crypto.kdf as kdf
from jsp.crypto.handshake cimport Handshake, Secret
from jsp.crypto.protection cimport LongKeys, OpenKeys, SealKeys
from jsp.engine.assembler cimport Assembler
from jsp.engine.send_buffer cimport SendBuffer
from jsp.recovery.loss cimport PacketSpace
from jsp.wire.buffer cimport Writer

cdef bytes _CLIENT_IN
cdef bytes _SERVER_IN


cpdef tuple initial_secrets(bytes odcid)


cdef class HandshakeLevel:
    cdef Assembler _received
    cdef public long long level
    cdef public LongKeys open_keys
    cdef public SendBuffer outgoing
    cdef public LongKeys seal_keys
    cdef public PacketSpace space

    cpdef bytes take(self, long long offset, bytearray data, long long start, long long stop, long long room)
    cpdef bint has_data(self) except? -1
    @cython.locals(out=SendBuffer, offset=cython.longlong, room=cython.longlong, stop=cython.longlong)
    cpdef tuple write_crypto(self, Writer w)
    cpdef on_acked(self, long long start, long long stop)
    cpdef on_lost(self, long long start, long long stop)


cdef class Keying:
    cdef public dict levels
    cdef public Handshake machine
    cdef public OpenKeys open_keys
    cdef public bint peer_named
    cdef public bint presented
    cdef public SealKeys seal_keys

    cpdef install_initial(self, bytes odcid, PacketSpace space, bint server)
    @cython.locals(state=HandshakeLevel, room=cython.longlong, ready=bytes)
    cpdef on_crypto(self, long long level, long long offset, bytearray data, long long start, long long stop)
    @cython.locals(state=HandshakeLevel, secret=Secret, machine=Handshake)
    cpdef list pump(self)
    @cython.locals(level=HandshakeLevel)
    cpdef _install(self, Secret secret)
