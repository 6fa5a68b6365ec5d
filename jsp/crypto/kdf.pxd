# C types of kdf.py.
import cython
cimport jsp.wire.memory as memory

cdef object _sha256
cdef object _mac
cdef long long _BLOCK
cdef long long _INNER
cdef long long _OUTER


cpdef bytes hmac_digest(bytes key, bytes message, hash_name=*)
cpdef bytes hmac_of_hashes(bytes key, bytes message)
cpdef bytes hkdf_extract(bytes salt, bytes ikm, hash_name=*)
@cython.locals(out=bytes, block=bytes)
cpdef bytes hkdf_expand(bytes prk, bytes info, long long size, hash_name=*)
cpdef bytes expand_label(bytes secret, bytes label, bytes context, long long size, bytes prefix=*, hash_name=*)
cpdef bytes finished_mac(bytes base_secret, bytes transcript_hash)
cpdef bytes access_mac(bytes access_key, bytes transcript_hash)


cdef class KeySchedule:
    cdef object _hash
    cdef bytes _prefix
    cdef public bytes secret

    cpdef start(self, bytes psk=*)
    cpdef mix(self, bytes ikm=*)
    cpdef bytes derive(self, bytes label, bytes transcript_hash)
    cpdef bytes label(self, bytes secret, bytes label, bytes context, long long size)


cdef class Transcript:
    cdef object _hash

    cpdef add(self, bytes message)
    cpdef bytes digest(self)
