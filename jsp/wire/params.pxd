# C types of params.py.
import cython
cimport jsp.wire.memory as memory
cimport jsp.wire.tlv as tlv
from jsp.wire.buffer cimport Reader

cdef dict _DEFAULTS
cdef dict _KNOWN
cdef dict _LAYOUT


@cython.locals(values=dict, size=cython.longlong)
cpdef bytes encode_params(params)
@cython.locals(value=bytes, size=cython.longlong)
cpdef parse_params(bytes data)
