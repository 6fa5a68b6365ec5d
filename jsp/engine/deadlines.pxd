# C types of deadlines.py.
import cython
from jsp.engine.connection cimport ConnectionCore
from jsp.engine.path cimport Path

cdef long long _LOSS
cdef long long _ACK
cdef long long _PATH
cdef long long _EXPIRY
cdef long long _LULL


@cython.locals(path=Path, blocked=cython.bint, loss=cython.double, ack=cython.double, moving=cython.double)
cpdef update(ConnectionCore conn, double now)
cpdef on_confirmed(ConnectionCore conn, double now)
cpdef _on_loss(ConnectionCore conn, double now)
@cython.locals(last=cython.double, deadline=cython.double)
cpdef _on_idle(ConnectionCore conn, double now)
@cython.locals(last=cython.double)
cpdef _on_keep_alive(ConnectionCore conn, double now)
cpdef bint _has_received_a_lot(ConnectionCore conn) except? -1
@cython.locals(deadline=cython.double)
cpdef _on_lull(ConnectionCore conn, double now)
cpdef _on_handshake(ConnectionCore conn, double now)
cpdef _on_path(ConnectionCore conn, double now)
cpdef _on_keys(ConnectionCore conn, double now)
cpdef _on_expiry(ConnectionCore conn, double now)
cpdef _on_linger(ConnectionCore conn, double now)
cpdef _on_drain(ConnectionCore conn, double now)
cpdef _on_nothing(ConnectionCore conn, double now)
cpdef expire(ConnectionCore conn, double now)
