# C types of recv_stream.py.
import cython
cimport jsp.wire.frames as frames
from jsp.engine.assembler cimport Assembler
from jsp.engine.flow cimport ReceiveWindow
from jsp.wire.buffer cimport Writer
from jsp.wire.frames cimport StreamFrame

cdef long long _UNKNOWN
cdef long long _CUT_BEHIND
cdef object _OPEN
cdef object _SIZE_KNOWN
cdef object _STOPPED
cdef object _DONE


cdef class RecvStream:
    cdef Assembler _assembler
    cdef ReceiveWindow _connection
    cdef long long _moved_by
    cdef long long _stop_code
    cdef bint _stop_due
    cdef public long long final_size
    cdef public long long id
    cdef public long long reset_code
    cdef public bint signalled
    cdef public object state
    cdef public ReceiveWindow window

    cpdef bint is_late(self, long long number, bint newest) except? -1
    cpdef bint _is_kept(self) except? -1
    @cython.locals(
        assembler=Assembler, before=cython.longlong, gaps=cython.longlong, end=cython.longlong, grown=cython.longlong,
        fin=cython.bint, offset=cython.longlong,
    )
    cpdef bint on_data(self, StreamFrame frame, bytearray data, long long number) except? -1
    cpdef _check_final(self, long long end, bint fin)
    @cython.locals(grown=cython.longlong)
    cpdef bint on_reset(self, long long code, long long final_size) except? -1
    cpdef stop(self, long long code)
    cpdef long long readable(self) except? -1
    cpdef bint at_end(self) except? -1
    cpdef bytes read(self, long long limit)
    @cython.locals(size=cython.longlong)
    cpdef long long read_into(self, target) except? -1
    cpdef _on_read(self, long long size)
    cpdef long long take_reset(self) except? -1
    cpdef _consume_all(self)
    cpdef bint has_control(self) except? -1
    cpdef write_control(self, Writer w, double now, double shortest_rtt)
    cpdef on_control_lost(self, long long token)
