# C types of bbr.py.
import cython
from jsp.recovery.bbr_model cimport BbrModel
from jsp.recovery.controller cimport AckSample, Controller, initial_window
from jsp.recovery.sent cimport SentRun

cdef long long _STARTUP
cdef long long _DRAIN
cdef long long _DOWN
cdef long long _CRUISE
cdef long long _REFILL
cdef long long _UP
cdef long long _PROBE_RTT
cdef double _GAIN_STARTUP
cdef double _GAIN_DRAIN
cdef double _GAIN_DOWN
cdef double _GAIN_DOWN_OWN
cdef double _GAIN_UP
cdef double _CWND_GAIN
cdef double _CWND_GAIN_UP
cdef double _CWND_GAIN_PROBE_RTT
cdef double _MARGIN
cdef double _LOSS
cdef double _BETA
cdef double _HEADROOM
cdef double _QUEUED
cdef double _FULL_GROWTH
cdef double _UP_GROWTH
cdef long long _FULL_ROUNDS
cdef long long _STARTUP_LOSSES
cdef long long _DRAIN_ROUNDS
cdef double _RTT_DURATION
cdef double _PROBE_WAIT
cdef long long _CHECK_ROUNDS
cdef long long _RENO_ROUNDS_MAX
cdef long long _UP_ROUNDS_MAX
cdef long long _MINIMUM_PIPE
cdef double _QUANTUM_S
cdef double _QUANTUM_MAX
cdef long long _UNBOUNDED
cdef double _NEVER
cdef double _EMPTY
cdef double _QUEUED_OWN
cdef long long _ACKS_INIT
cdef long long _ACKS_REFILLING
cdef long long _ACKS_STARTING
cdef long long _ACKS_FEEDBACK
cdef long long _ACKS_STOPPING


cdef class Bbr(BbrModel):
    cdef long long _ack_phase
    cdef double _cwnd_gain
    cdef bint _cwnd_limited
    cdef double _cycle_start
    cdef long long _drain_round
    cdef double _full_bw
    cdef bint _full_bw_now
    cdef long long _full_bw_rounds
    cdef bint _idle_restart
    cdef bint _own_queue
    cdef double _pacing_gain
    cdef long long _prior_window
    cdef double _probe_rtt_done
    cdef bint _probe_rtt_round_done
    cdef bint _probe_samples
    cdef double _probe_wait
    cdef double _rate
    cdef double _undo_bw_shortterm
    cdef double _undo_event
    cdef long long _undo_inflight_longterm
    cdef long long _undo_inflight_shortterm
    cdef long long _undo_state
    cdef long long _up_rounds
    cdef readonly long long state

    cpdef double pacing_rate(self, double smoothed_rtt) except? -1
    cpdef long long minimum_window(self) except? -1
    cpdef on_ack(self, AckSample sample)
    cpdef on_lost(self, SentRun run, long long lost_since, double now)
    cpdef on_congestion_event(self, double now)
    cpdef on_mark(self, double sent_time, double now)
    cpdef on_persistent_congestion(self)
    cpdef on_restart(self, double now)
    cpdef on_spurious_loss(self)
    @cython.locals(delivered=cython.longlong, cruises=cython.bint)
    cpdef _judge_losses(self, AckSample sample)
    cpdef _on_too_much(self, long long in_flight, bint app_limited, double now, long long delivered)
    cpdef long long _inflight(self, double gain) except? -1
    @cython.locals(quantum=cython.double, cap=cython.double)
    cpdef long long _with_quantum(self, double in_flight) except? -1
    @cython.locals(headroom=cython.longlong)
    cpdef long long _with_headroom(self) except? -1
    cpdef _enter(self, long long state, double pacing_gain, double cwnd_gain)
    cpdef _reset_full_bw(self, double bw)
    @cython.locals(rate=cython.double)
    cpdef _check_full_bw(self, AckSample sample)
    cpdef _check_startup_done(self, AckSample sample)
    @cython.locals(allowed=cython.double)
    cpdef _check_startup_loss(self)
    @cython.locals(chance=cython.longlong)
    cpdef _start_down(self, double now, long long delivered)
    cpdef _start_refill(self, long long delivered)
    cpdef _start_up(self, AckSample sample)
    @cython.locals(bounded=cython.bint, fed=cython.bint, state=cython.longlong)
    cpdef _update_cycle(self, AckSample sample)
    @cython.locals(rounds=cython.longlong)
    cpdef bint _is_time_to_probe(self, double now) except? -1
    @cython.locals(growth=cython.double)
    cpdef _adapt_longterm(self, AckSample sample, bint bounded)
    cpdef _check_probe_rtt(self, AckSample sample)
    cpdef long long _probe_rtt_window(self) except? -1
    cpdef _leave_probe_rtt(self, double now, long long delivered)
    @cython.locals(rate=cython.double)
    cpdef _set_pacing_rate(self, double gain)
    @cython.locals(most=cython.longlong, window=cython.longlong, cap=cython.longlong)
    cpdef _set_window(self, AckSample sample)
