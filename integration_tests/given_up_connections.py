"""Close the socket of a connection that kafka-python gives up while it is being made.

kafka-python 3.0.12 leaves that socket to the garbage collector (`KafkaNetSocket.connect`): a client
that is closed while it connects to a broker warns of an unclosed socket, which fails whatever test
happens to run. Nothing else is let off: sockets of our own still have to be closed.
"""

from typing import Any

from kafka.net.inet import KafkaNetSocket

of_the_library = KafkaNetSocket.sock_connect


async def _sock_connect_or_close(
    self: Any, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None
) -> Any:
    try:
        return await of_the_library(self, net, sock, sockaddr, timeout_at=timeout_at)
    except BaseException:  # GeneratorExit too: so does a closed client end what it waits for
        sock.close()
        raise


def close_given_up_connections() -> None:
    """Have every client of this process close such sockets."""
    KafkaNetSocket.sock_connect = _sock_connect_or_close
