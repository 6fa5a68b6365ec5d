# C types of bbr_model.py.
import cython
from jsp.recovery.controller cimport AckSample, Controller, initial_window
from jsp.recovery.sent cimport SentRun

cdef double _LOSS
cdef double _BETA
cdef double _AMBIENT_MAX
cdef double _BURST_MAX
cdef double _QUEUED
cdef double _CONFIRMED
cdef double _CONFIRMED_FOR
cdef double _GROUPS
cdef double _AMBIENT_UP
cdef double _AMBIENT_DOWN
cdef double _TRAIN_LOSS
cdef long long _TRAIN_LOST
cdef double _SAME
cdef long long _ARRIVALS
cdef double _MIN_RTT_FILTER
cdef double _RTT_INTERVAL
cdef long long _EXTRA_ACKED_ROUNDS
cdef long long _UNBOUNDED
cdef double _NEVER


cdef class BbrModel(Controller):
    cdef double _ambient
    cdef list _arrived
    cdef double _bw_before
    cdef double _bw_cycle
    cdef double _bw_latest
    cdef double _bw_round
    cdef double _bw_shortterm
    cdef long long _calm_rounds
    cdef long long _extra_acked
    cdef long long _extra_before
    cdef long long _extra_delivered
    cdef long long _extra_half
    cdef double _extra_start
    cdef bint _filled
    cdef long long _inflight_latest
    cdef long long _inflight_shortterm
    cdef long long _loss_events
    cdef long long _loss_round_delivered
    cdef bint _loss_round_start
    cdef long long _lost_behind
    cdef long long _lost_in_round
    cdef bint _marked
    cdef double _min_rtt_time
    cdef long long _next_round
    cdef double _probe_rtt_delay
    cdef bint _probe_rtt_expired
    cdef double _probe_rtt_set
    cdef double _probe_rtt_time
    cdef list _rates
    cdef double _rates_time
    cdef long long _round
    cdef long long _round_delivered
    cdef bint _round_start
    cdef long long _rounds_since_probe
    cdef double _rtt_latest
    cdef readonly double bw
    cdef readonly long long inflight_longterm
    cdef readonly double max_bw
    cdef readonly double min_rtt

    cpdef long long _bdp(self, double bw) except? -1
    cpdef _update_round(self, AckSample sample)
    @cython.locals(rate=cython.double)
    cpdef _update_max_bw(self, AckSample sample)
    cpdef _take_bw(self, double rate)
    @cython.locals(expected=cython.double, extra=cython.longlong)
    cpdef _update_ack_aggregation(self, AckSample sample)
    @cython.locals(now=cython.double, rtt=cython.double)
    cpdef _update_min_rtt(self, AckSample sample)
    cpdef _update_latest_signals(self, AckSample sample)
    cpdef _advance_latest_signals(self, AckSample sample)
    cpdef _forget_losses(self)
    @cython.locals(departure=cython.double)
    cpdef bint _has_arrived_from(self, double time) except? -1
    @cython.locals(sent=cython.longlong, few=cython.bint)
    cpdef bint _drops_trains(self, long long delivered) except? -1
    @cython.locals(lost=cython.double, change=cython.double)
    cpdef bint _are_the_paths_own(self, long long delivered) except? -1
    @cython.locals(own=cython.double)
    cpdef _adapt_lower_bounds(self, long long delivered)
    cpdef _reset_lower_bounds(self)
    cpdef bint _is_too_much(self, long long lost, long long in_flight) except? -1
    @cython.locals(before=cython.longlong, lost_before=cython.longlong, threshold=cython.double)
    cpdef long long _inflight_at_loss(self, SentRun run, long long lost_since) except? -1
