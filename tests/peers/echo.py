"""A server and a client of gRPC, by grpcio and nothing else: messages are bytes as they are.

    echo.py server                  prints its port, and serves
    echo.py client ADDRESS          reads {"token", "proofs"} as JSON, makes its calls, and prints what came of each
"""

import json
import sys
import threading
import time
from concurrent import futures

import grpc

SERVICE = "keyproof.Echo"


def unary(message, context):
    seen = dict(context.invocation_metadata())
    context.set_trailing_metadata((("x-sum", str(len(message))), ("x-subject", seen.get("x-auth-subject", "nobody"))))
    return message


def count(message, context):
    for number in range(int(message)):
        yield str(number).encode()


def add(messages, context):
    return str(sum(int(message) for message in messages)).encode()


def chat(messages, context):
    for message in messages:
        yield b"you said " + message


def slow(message, context):
    # Until its client has gone; then it says nothing more.
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait(20)
    return message


def refuse(message, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: 100 %")


def serve():
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Add": grpc.stream_unary_rpc_method_handler(add),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    }
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


def told(call):
    """What came of a call: its answer, or the status and the metadata of its end."""
    try:
        return call()
    except grpc.RpcError as error:
        trailers = {key: value for key, value in error.trailing_metadata() or ()}
        initial = {key: value for key, value in error.initial_metadata() or ()}
        return {"code": error.code().name, "details": error.details(), "metadata": {**initial, **trailers}}


def ask(address):
    given = json.load(sys.stdin)
    proofs = iter(given["proofs"])
    options = [("grpc.default_authority", "api.test"), ("grpc.enable_retries", 0)]
    channel = grpc.insecure_channel(address, options)

    def credentials():
        return (("authorization", "DPoP " + given["token"]), ("dpop", next(proofs)))

    def unary_call():
        answer, call = channel.unary_unary(f"/{SERVICE}/Unary").with_call(b"hello", metadata=credentials(), timeout=20)
        return {"answer": answer.decode(), "metadata": dict(call.trailing_metadata())}

    def count_call():
        return [part.decode() for part in channel.unary_stream(f"/{SERVICE}/Count")(b"1000", metadata=credentials(), timeout=20)]

    def add_call():
        parts = (str(number).encode() for number in range(1000))
        return channel.stream_unary(f"/{SERVICE}/Add")(parts, metadata=credentials(), timeout=20).decode()

    def chat_call():
        # Each message waits for the answer to the one before: nothing is held back on the way.
        turn = threading.Semaphore(1)

        def messages():
            for number in range(10):
                turn.acquire()
                yield str(number).encode()

        said = []
        for part in channel.stream_stream(f"/{SERVICE}/Chat")(messages(), metadata=credentials(), timeout=20):
            said.append(part.decode())
            turn.release()
        return said

    def slow_call():
        began = time.monotonic()
        outcome = told(lambda: channel.unary_unary(f"/{SERVICE}/Slow")(b"a", metadata=credentials(), timeout=0.5))
        return {**outcome, "soon": time.monotonic() - began < 10}

    def refuse_call():
        return channel.unary_unary(f"/{SERVICE}/Refuse")(b"a", metadata=credentials(), timeout=20)

    def nobody_call():
        return channel.unary_unary(f"/{SERVICE}/Unary")(b"a", timeout=20)

    def again_call():
        both = credentials()
        channel.unary_unary(f"/{SERVICE}/Unary")(b"a", metadata=both, timeout=20)
        return channel.unary_unary(f"/{SERVICE}/Unary")(b"a", metadata=both, timeout=20)

    calls = [unary_call, count_call, add_call, chat_call, slow_call, refuse_call, nobody_call, again_call]
    print(json.dumps({call.__name__: told(call) for call in calls}))


if __name__ == "__main__":
    if sys.argv[1] == "server":
        serve()
    else:
        ask(sys.argv[2])
