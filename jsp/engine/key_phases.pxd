# C types of key_phases.py.
from jsp.crypto.protection cimport OpenKeys, SealKeys

cdef double _LIFETIME_S
cdef double _BETWEEN_UPDATES_S
cdef double _UPDATES_AT_ONCE


cdef class KeyPhases:
    cdef object _peer_rate
    cdef public double noted
    cdef public OpenKeys open
    cdef public double renew_at
    cdef public SealKeys seal
    cdef public long long updates

    cpdef install(self, OpenKeys open_, SealKeys seal, double now)
    cpdef renew_if_due(self, dict paths, bint settled, double now)
    cpdef _renew(self, dict paths, double now)
    cpdef on_peer_update(self, dict paths, double now)
    cpdef on_ack_sent(self, long long path_id, long long largest)
    cpdef rest(self)
    cpdef drop_previous(self)
