"""A service that answers only what came through the gateway: python server.py PORT JWKS_URL ISSUER AUDIENCE [SKEW [MAX_AGE]]"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from portcullis_verifier import OLDEST, Keys, Refused, Verifier

PORT, URL, ISSUER, AUDIENCE = sys.argv[1:5]
SKEW = float(sys.argv[5]) if len(sys.argv) > 5 else 10
MAX_AGE = float(sys.argv[6]) if len(sys.argv) > 6 else OLDEST
VERIFIER = Verifier(Keys(URL, MAX_AGE), ISSUER, AUDIENCE, skew=SKEW)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        try:
            sent = self.headers.get_all("x-portcullis-assertion", [])
            # Not `self.path`, in which this server has made one slash of two: what counts is what came on the wire.
            target = self.requestline.split(" ")[1]
            claims = VERIFIER.check(sent, self.command, self.headers.get("host", ""), target)
            self.reply(200, json.dumps({"sub": claims.get("sub"), "jti": claims["jti"]}))
        except Refused as refused:
            self.reply(401, str(refused))

    do_GET = do_POST = do_DELETE = answer

    def reply(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(PORT)), Handler)
print("ready", flush=True)
server.serve_forever()
