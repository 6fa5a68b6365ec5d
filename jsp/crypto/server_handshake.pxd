# C types of server_handshake.py.
cimport jsp.crypto.kdf as kdf
cimport jsp.wire.hello as hello
from jsp.crypto.handshake cimport Handshake, Secret

cdef object _COMPLETE
cdef object _WAIT_CLIENT_FINISHED
cdef object _WAIT_CLIENT_FLIGHT
cdef object _WAIT_CLIENT_HELLO
cdef object _WAIT_CLIENT_PROOF
cdef object _WAIT_DECISION


cdef class ServerHandshake(Handshake):
    cdef public bytes _access_digest
    cdef public bint _access_proven
    cdef public tuple _application
    cdef public object _first_hello
    cdef public bytes _params
    cdef public object _time_ms
    cdef public str server_name

    cpdef _check_second_hello(self, m)
    cpdef _send_hello_retry(self, m, bytes message, group)
    cpdef _send_server_hello(self, m)
    cpdef _send_flight(self)
