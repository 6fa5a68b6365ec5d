# C types of dispatching.py.
import cython
from jsp.engine.connection cimport ConnectionCore
from jsp.engine.traffic cimport Event, StreamReadable, StreamWritable
from jsp.net.connection cimport Connection
from jsp.net.stream cimport Stream


@cython.locals(stream=Stream, core=ConnectionCore, event=Event, readable=StreamReadable, writable=StreamWritable)
cpdef dispatch(Connection shell)
cpdef _dispatch_rare(Connection shell, event)
cpdef _on_path(Connection shell, event)
@cython.locals(stream=Stream)
cpdef _on_stream_opened(Connection shell, long long stream_id)
@cython.locals(stream=Stream)
cpdef _on_closed(Connection shell)
