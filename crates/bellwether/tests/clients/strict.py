"""A server and a client of `h11`, which refuse whatever HTTP/1.1 does not allow.

Arguments: `serve`, or `call` and the gateway's address.
"""

import os
import socket
import sys
import threading

sys.path.insert(0, os.environ["CLIENTS"])
import h11


def events(connection, peer):
    """Every event until the end of the message."""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(peer.recv(65536))
            continue
        yield event
        if isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return


def serve_one(peer):
    connection = h11.Connection(h11.SERVER)
    while True:
        body, request, end = b"", None, None
        for event in events(connection, peer):
            if isinstance(event, h11.Request):
                request = event
                if connection.they_are_waiting_for_100_continue:
                    peer.sendall(connection.send(h11.InformationalResponse(status_code=100, headers=[])))
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                end = event
        if request is None:
            return peer.close()
        trailer = dict(end.headers).get(b"x-sum", b"-")
        seen = b"%s %s %d %s" % (request.method, request.target, len(body), trailer)
        if request.target == b"/trailers":
            headers = [("transfer-encoding", "chunked"), ("trailer", "x-after"), ("x-seen", seen)]
            peer.sendall(connection.send(h11.Response(status_code=200, headers=headers)))
            for piece in (b"a" * 7, b"b" * 70_000):
                peer.sendall(connection.send(h11.Data(data=piece)))
            peer.sendall(connection.send(h11.EndOfMessage(headers=[("x-after", "all")])))
        else:
            headers = [("content-length", "5"), ("x-seen", seen)]
            peer.sendall(connection.send(h11.Response(status_code=200, headers=headers)))
            if request.method != b"HEAD":
                peer.sendall(connection.send(h11.Data(data=b"hello")))
            peer.sendall(connection.send(h11.EndOfMessage()))
        if connection.our_state is h11.MUST_CLOSE:
            return peer.close()
        connection.start_next_cycle()


def serve():
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=serve_one, args=(peer,), daemon=True).start()


def call(gateway):
    host, port = gateway.rsplit(":", 1)
    peer = socket.create_connection((host, int(port)), timeout=30)
    connection = h11.Connection(h11.CLIENT)

    def ask(method, target, headers=(), pieces=(), trailers=()):
        request = h11.Request(method=method, target=target, headers=[("host", "strict"), *headers])
        peer.sendall(connection.send(request))
        for piece in pieces:
            peer.sendall(connection.send(h11.Data(data=piece)))
        peer.sendall(connection.send(h11.EndOfMessage(headers=list(trailers))))
        response, body, end = None, b"", None
        for event in events(connection, peer):
            if isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                end = event
        assert response.status_code == 200, (response, body)
        connection.start_next_cycle()
        return dict(response.headers).get(b"x-seen"), body, dict(end.headers)

    assert ask("GET", "/") == (b"GET / 0 -", b"hello", {})
    assert ask("HEAD", "/") == (b"HEAD / 0 -", b"", {})
    chunked = [("transfer-encoding", "chunked"), ("trailer", "x-sum")]
    pieces = [b"x" * 10, b"y" * 100_000, b"z"]
    seen = ask("POST", "/", chunked, pieces, [("x-sum", "7")])
    assert seen == (b"POST / 100011 7", b"hello", {}), seen
    sized = [("content-length", "3"), ("expect", "100-continue")]
    assert ask("PUT", "/p?q=1", sized, [b"abc"]) == (b"PUT /p?q=1 3 -", b"hello", {})
    seen, body, trailers = ask("GET", "/trailers", [("te", "trailers"), ("connection", "te")])
    assert (seen, len(body), trailers) == (b"GET /trailers 0 -", 70_007, {b"x-after": b"all"}), trailers
    # Sent ahead of the answers, which come in their order.
    peer.sendall(b"".join(b"GET /%d HTTP/1.1\r\nhost: strict\r\n\r\n" % number for number in range(5)))
    got = b""
    while got.count(b"hello") < 5:
        got += peer.recv(65536)
    order = [got.index(b"GET /%d " % number) for number in range(5)]
    assert order == sorted(order), order
    print("ok")


if sys.argv[1] == "serve":
    serve()
else:
    call(sys.argv[2])
