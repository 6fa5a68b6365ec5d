# C types of client_handshake.py.
cimport jsp.crypto.kdf as kdf
cimport jsp.wire.hello as hello
from jsp.crypto.handshake cimport Handshake, Secret

cdef object _COMPLETE
cdef object _WAIT_FINISHED
cdef object _WAIT_IDENTITY
cdef object _WAIT_PARAMS
cdef object _WAIT_PROOF
cdef object _WAIT_REQUEST
cdef object _WAIT_SERVER_HELLO


cdef class ClientHandshake(Handshake):
    cdef public bytes _hello
    cdef public bytes _params
    cdef public bytes _random
    cdef public long long _request_flags
    cdef public bint _retried
    cdef public object _share
    cdef public object _time_ms

    cpdef start(self)
    cpdef _send_hello(self, group)
    cpdef _send_flight(self)
