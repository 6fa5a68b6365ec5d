# What clock.py does, for compiled modules: the clocks of the time module, so that either's readings may be compared.
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

cdef extern from *:
    """
    #include <time.h>
    #ifdef __APPLE__
    #define JSP_MONOTONIC CLOCK_UPTIME_RAW
    #else
    #define JSP_MONOTONIC CLOCK_MONOTONIC
    #endif
    """
    int JSP_MONOTONIC


cdef inline double now() noexcept:
    cdef timespec at
    clock_gettime(JSP_MONOTONIC, &at)
    return at.tv_sec + at.tv_nsec * 1e-9


cdef inline double wall_time() noexcept:
    cdef timespec at
    clock_gettime(CLOCK_REALTIME, &at)
    return at.tv_sec + at.tv_nsec * 1e-9
