# C types of establish.py.
import cython
from jsp.crypto.handshake cimport Handshake
from jsp.engine.cids cimport RemoteCids
from jsp.engine.connection cimport ConnectionCore
from jsp.engine.keying cimport HandshakeLevel, Keying
from jsp.engine.path cimport Path
from jsp.recovery.loss cimport PacketSpace

cdef object _COMPLETE


@cython.locals(path=Path, initial=PacketSpace, machine=Handshake)
cpdef start(ConnectionCore conn, bytes reset_token, double now, double wall_time, credentials, client_scid)
@cython.locals(keying=Keying, path=Path, level=HandshakeLevel, space=PacketSpace, machine=Handshake)
cpdef pump(ConnectionCore conn, double now)
@cython.locals(machine=Handshake)
cpdef _complete(ConnectionCore conn, double now, Keying keying)
@cython.locals(path=Path)
cpdef _check_ids(ConnectionCore conn, params)
@cython.locals(path=Path)
cpdef _apply_params(ConnectionCore conn, params)
cpdef _open(ConnectionCore conn)
@cython.locals(path=Path)
cpdef _confirm(ConnectionCore conn, double now)
@cython.locals(path=Path, state=HandshakeLevel)
cpdef discard_level(ConnectionCore conn, long long level)
@cython.locals(path=Path, keying=Keying, ids=RemoteCids)
cpdef bint check_peer_cid(ConnectionCore conn, bytes scid) except? -1
cpdef on_handshake_packet(ConnectionCore conn, Path path)
cpdef on_handshake_done(ConnectionCore conn, double now)
