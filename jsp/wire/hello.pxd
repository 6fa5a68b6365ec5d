# C types of hello.py.
import cython
cimport jsp.wire.memory as memory
cimport jsp.wire.tlv as tlv
from jsp.wire.buffer cimport Reader

cdef frozenset _IN_CLIENT_HELLO
cdef frozenset _IN_PARAMS
cdef frozenset _IN_SERVER_HELLO
cdef long long _MESSAGE_MAX


cpdef bytes frame_message(long long kind, bytes body)
@cython.locals(start=cython.longlong, stop=cython.longlong, size=cython.longlong)
cpdef list split_messages(bytearray data)
cpdef Reader _body(bytes message)
cpdef bytes _need(dict values, long long kind)
@cython.locals(value=bytes)
cpdef object _one(dict values, long long kind, long long size)
@cython.locals(value=bytes)
cpdef tuple _key_share(dict values)
@cython.locals(values=dict)
cpdef bytes encode_client_hello(m)
@cython.locals(r=Reader, v=dict)
cpdef parse_client_hello(bytes message)
cpdef bytes encode_server_hello(m)
@cython.locals(r=Reader, v=dict)
cpdef parse_server_hello(bytes message)
cpdef bytes encode_encrypted_params(m)
@cython.locals(v=dict)
cpdef parse_encrypted_params(bytes message)
@cython.locals(r=Reader)
cpdef tuple parse_identity_request(bytes message)
cpdef bytes encode_blob(long long kind, bytes blob)
cpdef bytes parse_blob(bytes message)
@cython.locals(r=Reader)
cpdef bytes parse_finished(bytes message)
