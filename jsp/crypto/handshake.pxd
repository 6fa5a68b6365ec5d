# C types of handshake.py.
cimport jsp.wire.hello as hello
from jsp.crypto.kdf cimport KeySchedule, Transcript

cdef object _FAILED
cdef object _START
cdef object _WAIT_DECISION


cdef class Secret:
    cdef public long long direction
    cdef public long long level
    cdef public bytes value


cdef class Handshake:
    cdef public bytearray _buffer
    cdef public bytes _client_secret
    cdef public object _credentials
    cdef public object _entropy
    cdef public list _held
    cdef public long long _level
    cdef public object _peer_blob
    cdef public bytes _prologue
    cdef public KeySchedule _schedule
    cdef public bytes _server_secret
    cdef public Transcript _transcript
    cdef public long long group
    cdef public list outgoing
    cdef public long long owner
    cdef public object peer
    cdef public bytes peer_params
    cdef public object presented
    cdef public str protocol
    cdef public list secrets
    cdef public object step
    cdef public long long suite

    cpdef receive(self, long long level, bytes data)
    cpdef _run(self)
    cpdef accept(self)
    cpdef _replace_first_hello(self, bytes first)
    cpdef _derive_handshake(self, bytes shared)
    cpdef tuple _derive_application(self)
    cpdef _verify_proof(self, bytes label, bytes message)
    cpdef _take_identity(self, bytes message)
    cpdef _present(self, access_proven=*)
