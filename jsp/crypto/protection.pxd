# C types of protection.py.
import cython
cimport jsp.crypto.guard as guard
cimport jsp.crypto.kdf as kdf
cimport jsp.wire.memory as memory
cimport jsp.wire.packet as packet
from jsp.crypto.aead cimport HeaderMasker, PacketAead
from jsp.wire.buffer cimport PacketBuffer

cdef long long _TAG
cdef long long _MASK
cdef long long _PN4
cdef long long _PHASE
cdef long long _RESERVED
cdef long long _SAMPLE
cdef long long _BATCH_MAX
cdef long long _KEY_SIZE
cdef long long _IV_SIZE
cdef bytes _KEY
cdef bytes _IV
cdef bytes _HP


cdef class LongKeys:
    cdef object _aead
    cdef unsigned long long _iv_low
    cdef bytearray _nonce
    cdef long long _owner

    @cython.locals(out=bytearray)
    cpdef bytearray seal(self, bytes header, long long number, plaintext)
    @cython.locals(out=bytearray)
    cpdef open(self, header, long long number, sealed)


cdef class Generation:
    cdef PacketAead _aead
    cdef object _provider
    cdef public unsigned long long iv_high
    cdef public unsigned long long iv_low
    cdef public bytes secret
    cdef public long long suite

    cpdef PacketAead aead(self)
    cpdef rest(self)
    cpdef Generation next(self)


cdef class HeaderKeys:
    cdef bytes _mask_key
    cdef HeaderMasker _masker
    cdef long long _owner
    cdef object _provider

    cpdef bytearray _masks(self, bytearray data, long long sample, long long segment, long long count)


cdef class SealKeys(HeaderKeys):
    cdef Generation _generation
    cdef long long _limit
    cdef public long long phase
    cdef public long long sealed
    cdef public long long sealed_bytes
    cdef public long long update_at

    cpdef bint exhausted(self) except? -1
    cpdef rest(self)
    cpdef update(self)
    @cython.locals(generation=Generation)
    cpdef seal_train(
        self, PacketBuffer slots, long long count, long long segment, long long end, long long header_size,
        long long path_id, long long number
    )
    @cython.locals(
        four=cython.longlong, masks=bytearray, number_at=cython.longlong, sample=cython.longlong,
        start=cython.longlong, j=cython.longlong, at=cython.longlong,
    )
    cpdef _mask(self, bytearray data, long long count, long long segment, long long header_size)


cdef class OpenKeys(HeaderKeys):
    cdef Generation _current
    cdef Generation _next
    cdef Generation _previous
    cdef public long long forgeries
    cdef public long long forgery_limit
    cdef public long long phase
    cdef public dict phase_start
    cdef public bint update_allowed
    cdef public bint updated

    cpdef rest(self)
    @cython.locals(
        count=cython.longlong, data=bytearray, masks=bytearray, least=cython.longlong, j=cython.longlong,
        stop=cython.longlong, first=cython.longlong, at=cython.longlong, truncated=cython.longlong,
        number=cython.longlong, body=cython.longlong,
    )
    cpdef list open_batch(
        self, PacketBuffer slots, long long start, long long end, long long segment, long long number_at,
        long long path_id, long long largest
    )
    @cython.locals(generation=Generation)
    cpdef bint _open(
        self, PacketBuffer slots, long long start, long long body, long long end, long long first, long long path_id,
        long long number
    ) except? -1
    cpdef Generation _other_generation(self, long long path_id, long long number)
    cpdef _advance(self, long long path_id, long long number)
    cpdef drop_previous(self)
