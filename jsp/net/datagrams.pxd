# What datagrams.py does, for compiled modules.
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport errno
from libc.string cimport memcmp, memcpy, memset
from jsp.net.arrival cimport Arrival


cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    struct sockaddr_storage:
        int ss_family
    Py_ssize_t recvmsg(int fd, msghdr *message, int flags)
    Py_ssize_t sendmsg(int fd, const msghdr *message, int flags)
    cmsghdr *CMSG_FIRSTHDR(msghdr *message)
    cmsghdr *CMSG_NXTHDR(msghdr *message, cmsghdr *header)
    unsigned char *CMSG_DATA(cmsghdr *header)
    size_t CMSG_SPACE(size_t size)
    size_t CMSG_LEN(size_t size)
    int AF_INET6

cdef extern from "<netinet/in.h>" nogil:
    int IPPROTO_IP
    int IPPROTO_IPV6
    struct sockaddr_in:
        unsigned short sin_port
        unsigned int sin_addr
    struct sockaddr_in6:
        unsigned short sin6_port
        unsigned int sin6_flowinfo
        unsigned char sin6_addr[16]
        unsigned int sin6_scope_id

cdef extern from "<arpa/inet.h>" nogil:
    const char *inet_ntop(int family, const void *address, char *text, socklen_t size)
    unsigned short ntohs(unsigned short value)
    unsigned int ntohl(unsigned int value)

cdef enum:
    _SOL_UDP = 17
    _UDP_SEGMENT = 103
    _UDP_GRO = 104
    _IP_PKTINFO = 8
    _IPV6_PKTINFO = 50
    _IP_TOS = 1
    _IPV6_TCLASS = 67


cdef inline long long receive(
    object socket, int fd, bytearray data, object view, Py_ssize_t room, Arrival into
) except? -1:
    cdef sockaddr_storage name
    cdef iovec place
    cdef msghdr message
    cdef cmsghdr *header
    cdef Py_ssize_t size
    cdef int segment
    # Aligned as the headers in it must be.
    cdef size_t control[16]
    if room > len(data):
        raise IndexError("batch outside of a buffer")
    memset(&message, 0, sizeof(message))
    place.iov_base = PyByteArray_AS_STRING(data)
    place.iov_len = room
    message.msg_name = &name
    message.msg_namelen = sizeof(name)
    message.msg_iov = &place
    message.msg_iovlen = 1
    message.msg_control = control
    message.msg_controllen = sizeof(control)
    size = recvmsg(fd, &message, 0)
    if size < 0:
        return -errno
    into.segment = size
    into.ecn = 0
    local = None
    header = CMSG_FIRSTHDR(&message)
    while header != NULL:
        if header.cmsg_level == _SOL_UDP and header.cmsg_type == _UDP_GRO:
            memcpy(&segment, CMSG_DATA(header), sizeof(segment))
            into.segment = segment
        elif header.cmsg_level == IPPROTO_IP and header.cmsg_type == _IP_PKTINFO:
            local = _kept(into.local, <char *>CMSG_DATA(header) + 4, 4)
        elif header.cmsg_level == IPPROTO_IPV6 and header.cmsg_type == _IPV6_PKTINFO:
            local = _kept(into.local, <char *>CMSG_DATA(header), 16)
        elif header.cmsg_level == IPPROTO_IP and header.cmsg_type == _IP_TOS:
            into.ecn = CMSG_DATA(header)[0] & 3
        elif header.cmsg_level == IPPROTO_IPV6 and header.cmsg_type == _IPV6_TCLASS:
            memcpy(&segment, CMSG_DATA(header), sizeof(segment))
            into.ecn = segment & 3
        header = CMSG_NXTHDR(&message, header)
    into.local = local
    # An address is decoded when it is another than last time.
    known = _kept(into.name, <char *>&name, message.msg_namelen)
    if known is not into.name:
        into.name = known
        into.remote = _decode(&name)
    return size


cdef inline bytes _kept(bytes last, const char *found, Py_ssize_t size):
    """`last` when it is what was found; else a copy of that."""
    if last is not None and len(last) == size and memcmp(PyBytes_AS_STRING(last), found, size) == 0:
        return last
    return PyBytes_FromStringAndSize(found, size)


cdef inline tuple _decode(sockaddr_storage *name):
    cdef sockaddr_in *four = <sockaddr_in *>name
    cdef sockaddr_in6 *six = <sockaddr_in6 *>name
    cdef char text[64]
    if name.ss_family == AF_INET6:
        inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof(text))
        return (text.decode(), ntohs(six.sin6_port), ntohl(six.sin6_flowinfo), six.sin6_scope_id)
    inet_ntop(name.ss_family, &four.sin_addr, text, sizeof(text))
    return (text.decode(), ntohs(four.sin_port))


cdef inline long long send(
    object socket, int fd, object data, long long segment, object remote, bytes name, bytes source, int ecn=0
) except? -1:
    cdef Py_buffer view
    cdef iovec place
    cdef msghdr message
    cdef cmsghdr *header
    cdef size_t control[16]
    cdef size_t used = 0
    cdef unsigned short size = segment
    cdef Py_ssize_t sent
    memset(&message, 0, sizeof(message))
    memset(control, 0, sizeof(control))
    message.msg_name = PyBytes_AS_STRING(name)
    message.msg_namelen = len(name)
    message.msg_iov = &place
    message.msg_iovlen = 1
    message.msg_control = control
    message.msg_controllen = sizeof(control)
    header = CMSG_FIRSTHDR(&message)
    if len(source) == 16:
        used += _put(header, IPPROTO_IPV6, _IPV6_PKTINFO, 20)
        memcpy(CMSG_DATA(header), PyBytes_AS_STRING(source), 16)
        header = CMSG_NXTHDR(&message, header)
    elif len(source) == 4:
        used += _put(header, IPPROTO_IP, _IP_PKTINFO, 12)
        memcpy(CMSG_DATA(header) + 4, PyBytes_AS_STRING(source), 4)
        header = CMSG_NXTHDR(&message, header)
    if segment:
        used += _put(header, _SOL_UDP, _UDP_SEGMENT, sizeof(size))
        memcpy(CMSG_DATA(header), &size, sizeof(size))
        header = CMSG_NXTHDR(&message, header)
    if ecn:
        # A packet to a mapped address is one of IPv4, whatever the socket is, and takes no notice of the other.
        used += _put(header, IPPROTO_IP, _IP_TOS, sizeof(ecn))
        memcpy(CMSG_DATA(header), &ecn, sizeof(ecn))
        if (<sockaddr_storage *>message.msg_name).ss_family == AF_INET6:
            header = CMSG_NXTHDR(&message, header)
            used += _put(header, IPPROTO_IPV6, _IPV6_TCLASS, sizeof(ecn))
            memcpy(CMSG_DATA(header), &ecn, sizeof(ecn))
    message.msg_controllen = used
    if not used:
        message.msg_control = NULL
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    place.iov_base = view.buf
    place.iov_len = view.len
    sent = sendmsg(fd, &message, 0)
    PyBuffer_Release(&view)
    return -errno if sent < 0 else sent


cdef inline size_t _put(cmsghdr *header, int level, int kind, size_t size) noexcept:
    header.cmsg_level = level
    header.cmsg_type = kind
    header.cmsg_len = CMSG_LEN(size)
    return CMSG_SPACE(size)
