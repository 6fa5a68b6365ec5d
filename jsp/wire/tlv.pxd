# C types of tlv.py.
import cython
cimport jsp.wire.memory as memory
from jsp.wire.buffer cimport Reader


@cython.locals(
    out=bytearray, value=bytes, kind=cython.longlong, size=cython.longlong, total=cython.longlong, at=cython.longlong,
)
cpdef bytes encode_tlvs(dict values)
@cython.locals(
    data=bytearray, pos=cython.longlong, end=cython.longlong, last=cython.longlong, kind=cython.longlong,
    start=cython.longlong,
)
cpdef dict parse_tlvs(Reader r, known)
