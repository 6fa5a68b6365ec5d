# C types of aead.py.
import cython
cimport jsp.wire.memory as memory
from jsp.wire.buffer cimport PacketBuffer

cdef long long _TAG
cdef long long _SIZE_MAX


cpdef check_train(long long size, long long count, long long segment, long long end, long long header_size)
cpdef check_packet(long long size, long long start, long long body, long long end)


cdef class PacketAead:
    cpdef seal_train(
        self, PacketBuffer slots, long long count, long long segment, long long end, long long header_size,
        unsigned long long nonce_high, unsigned long long nonce_low, long long number
    )
    cpdef bint open_packet(
        self, PacketBuffer slots, long long start, long long body, long long end, unsigned long long nonce_high,
        unsigned long long nonce_low
    ) except? -1


cdef class HeaderMasker:
    cpdef bytearray masks(self, bytearray data, long long start, long long step, long long count)


cdef class CryptographyAead(PacketAead):
    cdef object _cipher
    cdef bytearray _nonce

    @cython.locals(nonce=bytearray, start=cython.longlong, stop=cython.longlong)
    cpdef seal_train(
        self, PacketBuffer slots, long long count, long long segment, long long end, long long header_size,
        unsigned long long nonce_high, unsigned long long nonce_low, long long number
    )
    @cython.locals(nonce=bytearray)
    cpdef bint open_packet(
        self, PacketBuffer slots, long long start, long long body, long long end, unsigned long long nonce_high,
        unsigned long long nonce_low
    ) except? -1


cdef class CryptographyMasker(HeaderMasker):
    cdef object _cipher

    cpdef bytearray masks(self, bytearray data, long long start, long long step, long long count)
