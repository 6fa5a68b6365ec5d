"""Remote procedure calls over one connection: functions offered by name, called as if they were here.

    service = jsp.rpc.Service()

    @service.method
    def add(a: int, b: int) -> int:
        return a + b

    jsp.rpc.Server(("0.0.0.0", 4433), service, identity=me).serve_forever()

    with jsp.rpc.connect("jsp1...@host:4433") as client:
        client.call("add", 2, 3, timeout=1)

`codec.py` has the wire format and its limits, `session.py` the rules of calls, `client.py` and `server.py` what waits.
"""

from jsp.rpc.calls import Future, Items
from jsp.rpc.client import Client, Proxy, connect
from jsp.rpc.errors import (
    BadArguments,
    Cancelled,
    RemoteError,
    RpcError,
    TooLarge,
    UnknownMethod,
    Unserialisable,
    WrongCall,
)
from jsp.rpc.execution import caller
from jsp.rpc.lanes import rpc_config
from jsp.rpc.server import Server
from jsp.rpc.service import MethodInfo, Service, method

__all__ = [
    "BadArguments",
    "Cancelled",
    "Client",
    "Future",
    "Items",
    "MethodInfo",
    "Proxy",
    "RemoteError",
    "RpcError",
    "Server",
    "Service",
    "TooLarge",
    "UnknownMethod",
    "Unserialisable",
    "WrongCall",
    "caller",
    "connect",
    "method",
    "rpc_config",
]
