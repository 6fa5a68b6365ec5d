# What memory.py does, for compiled modules.
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize
from libc.string cimport memcmp, memcpy, memmove, memset


cdef inline int copy(
    bytearray target, Py_ssize_t at, object source, Py_ssize_t start, Py_ssize_t size
) except -1:
    cdef const char *data
    cdef Py_ssize_t length
    if PyBytes_CheckExact(source):
        data = PyBytes_AS_STRING(source)
        length = len(<bytes>source)
    else:
        data = PyByteArray_AS_STRING(<bytearray?>source)
        length = len(<bytearray>source)
    if at < 0 or start < 0 or size < 0 or size > len(target) - at or size > length - start:
        raise IndexError("copy outside of a buffer")
    memmove(PyByteArray_AS_STRING(target) + at, data + start, size)
    return 0


cdef inline int append(bytearray target, bytearray source, Py_ssize_t start, Py_ssize_t stop) except -1:
    cdef Py_ssize_t length = len(target)
    if start < 0 or stop > len(source):
        raise IndexError("append from outside of a buffer")
    if stop > start:
        PyByteArray_Resize(target, length + stop - start)
        memcpy(PyByteArray_AS_STRING(target) + length, PyByteArray_AS_STRING(source) + start, stop - start)
    return 0


cdef inline bytes piece(bytearray source, Py_ssize_t start, Py_ssize_t stop):
    if start < 0 or stop < start or stop > len(source):
        raise IndexError("piece outside of a buffer")
    return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(source) + start, stop - start)


cdef inline Py_ssize_t end_of_zeros(bytearray data, Py_ssize_t start, Py_ssize_t stop) except -1:
    cdef const char *at
    if start < 0 or stop < start or stop > len(data):
        raise IndexError("zeros outside of a buffer")
    at = PyByteArray_AS_STRING(data)
    while start < stop and at[start] == 0:
        start += 1
    return start


cdef inline bytes number(unsigned long long value, Py_ssize_t size):
    cdef unsigned char text[8]
    cdef int i
    if size < 0 or size > 8:
        raise IndexError("number of more than eight bytes")
    for i in range(size - 1, -1, -1):
        text[i] = value & 255
        value >>= 8
    return PyBytes_FromStringAndSize(<char *>text, size)


cdef inline bint same(bytearray data, Py_ssize_t at, bytes other) except -1:
    cdef Py_ssize_t length = len(other)
    if at < 0 or length > len(data) - at:
        return False
    return memcmp(PyByteArray_AS_STRING(data) + at, PyBytes_AS_STRING(other), length) == 0


cdef inline int put_u64(bytearray target, Py_ssize_t at, unsigned long long value) except -1:
    cdef unsigned char *to
    cdef int i
    if at < 0 or at > len(target) - 8:
        raise IndexError("number outside of a buffer")
    to = <unsigned char *>PyByteArray_AS_STRING(target) + at
    for i in range(7, -1, -1):
        to[i] = value & 255
        value >>= 8
    return 0


cdef inline int put_u32(bytearray target, Py_ssize_t at, unsigned long long value) except -1:
    cdef unsigned char *to
    if at < 0 or at > len(target) - 4:
        raise IndexError("number outside of a buffer")
    to = <unsigned char *>PyByteArray_AS_STRING(target) + at
    to[0] = (value >> 24) & 255
    to[1] = (value >> 16) & 255
    to[2] = (value >> 8) & 255
    to[3] = value & 255
    return 0


cdef inline bint has_more(bytes data, bytes which, Py_ssize_t count) except -1:
    cdef unsigned char among[256]
    cdef const unsigned char *text = <const unsigned char *>PyBytes_AS_STRING(data)
    cdef const unsigned char *members = <const unsigned char *>PyBytes_AS_STRING(which)
    cdef Py_ssize_t i
    cdef Py_ssize_t found = 0
    if len(data) <= count:
        return False
    memset(among, 0, 256)
    for i in range(len(which)):
        among[members[i]] = 1
    for i in range(len(data)):
        found += among[text[i]]
    return found > count


cdef inline bytearray gather(bytearray source, Py_ssize_t start, Py_ssize_t step, Py_ssize_t count):
    cdef bytearray out
    cdef char *to
    cdef const char *data
    cdef Py_ssize_t i
    cdef Py_ssize_t places
    # In this order nothing overflows.
    if start < 0 or step < 0 or count < 0 or count > 1 << 24:
        raise IndexError("samples outside of a buffer")
    places = len(source) - 15 - start
    if count and (places < 1 or (step and count - 1 > (places - 1) // step)):
        raise IndexError("samples outside of a buffer")
    data = PyByteArray_AS_STRING(source)
    out = PyByteArray_FromStringAndSize(NULL, 16 * count)
    to = PyByteArray_AS_STRING(out)
    for i in range(count):
        memcpy(to + 16 * i, data + start + step * i, 16)
    return out


cdef inline bytes xor_block(bytes key, unsigned char value):
    cdef bytes out
    cdef char *to
    cdef const char *data = PyBytes_AS_STRING(key)
    cdef Py_ssize_t size = len(key)
    cdef Py_ssize_t i
    if size > 64:
        raise IndexError("key longer than a block")
    out = PyBytes_FromStringAndSize(NULL, 64)
    to = PyBytes_AS_STRING(out)
    for i in range(size):
        to[i] = data[i] ^ value
    for i in range(size, 64):
        to[i] = value
    return out
