"""A service for video calls: answers each datagram that a caller has signed, throws away all others. Run by path.

    video_server.py PORT

It has to look at every datagram to know that it is not a caller's: that is what a flood makes it pay for.
"""

import hashlib
import hmac
import socket
import sys

KEY = b"of the demo"
SIGNATURE_BYTES = 16
ROUNDS = 300  # some 200 microseconds, as an operation with a private key costs


def sign(payload):
    return hashlib.pbkdf2_hmac("sha256", payload, KEY, ROUNDS, SIGNATURE_BYTES)


def serve(port):
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("0.0.0.0", port))
    while True:
        datagram, caller = listener.recvfrom(2048)
        payload, signature = datagram[:-SIGNATURE_BYTES], datagram[-SIGNATURE_BYTES:]
        if hmac.compare_digest(sign(payload), signature):
            listener.sendto(datagram, caller)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
