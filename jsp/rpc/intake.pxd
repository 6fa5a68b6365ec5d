# C types of intake.py.
import cython
cimport jsp.rpc.session as session
from jsp.rpc.execution cimport Served
from jsp.rpc.lanes cimport Lanes, Listener
from jsp.rpc.session cimport ServedCall

cdef double _TURN
cdef long long _CANCEL
cdef long long _SMALL


cdef class Intake:
    cdef long long _at
    cdef object _error
    cdef list _frames
    cdef Listener _listener
    cdef long long _max
    cdef Served _served
    cdef object _timer
    cdef double _turn_over

    cpdef on_stream(self, connection, stream)
    cpdef on_frames(self, list frames)
    @cython.locals(lanes=Lanes)
    cpdef _work_on(self)
    cpdef _give_way(self)
    cpdef _go_on(self)
    @cython.locals(frames=list, lanes=Lanes)
    cpdef work(self, worker)
    cpdef _refuse_client(self, error)
    @cython.locals(served=Served, call=ServedCall)
    cdef _on_frame(self, worker, long long kind, long long call_id, bytes payload)
    @cython.locals(served=Served, call=ServedCall)
    cdef _on_cancel(self, long long call_id, bytes payload)
    cdef _refuse(self, long long call_id, code, words)
