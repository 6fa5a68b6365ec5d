# C types of pipe.py.
cimport cython

cdef Py_ssize_t _HEADER, _TAG, _NUMBER_AT

@cython.locals(start=Py_ssize_t, i=Py_ssize_t, k=Py_ssize_t, byte=cython.uchar, slot=tuple)
cpdef seal_train(encrypt_into, payload, bytearray buffer, list slots, bytearray nonce, Py_ssize_t size, unsigned long long number)

@cython.locals(start=Py_ssize_t, k=Py_ssize_t, slot=tuple)
cpdef Py_ssize_t open_batch(decrypt_into, bytearray buffer, list slots, bytearray nonce, Py_ssize_t size, Py_ssize_t received) except -1
