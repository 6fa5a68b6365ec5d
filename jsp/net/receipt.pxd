# C types of receipt.py.
import cython
from jsp.engine.out_message cimport OutMessage
from jsp.net.connection cimport Connection

cdef long long _PENDING
cdef long long _LOST
cdef tuple _OUTCOMES


cdef class Receipt:
    cdef Connection _connection
    cdef OutMessage _message

    @cython.locals(connection=Connection, message=OutMessage)
    cpdef wait(self, timeout=*)


@cython.locals(receipt=Receipt)
cpdef Receipt make_receipt(Connection connection, OutMessage message)
