"""An OpenAI-compatible HTTP server whose requests fail by plan, as servers under load do."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW = 2.0


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that give up are part of the plan."""


class FaultyServer:
    """Answers each question as `answer(text, images)` says, after the faults that `plan(text, attempt)` names.

    With `upstream`, the base URL of a real server, the answers are that server's, byte for byte.
    """

    def __init__(self, answer=None, plan=lambda text, attempt: None, upstream=None):
        self.answer, self.plan, self.upstream = answer, plan, upstream
        self.attempts, self.answered, self.requests = Counter(), Counter(), []
        self.lock = threading.Lock()

    def __enter__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                outer.serve(self)

            def log_message(self, *args):
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def serve(self, request):
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        parts = body["messages"][0]["content"]
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        images = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        with self.lock:
            self.attempts[text] += 1
            self.requests.append(body)
            fault = self.plan(text, self.attempts[text])
        if fault == "time-out":
            time.sleep(SLOW)
        elif isinstance(fault, int):
            return self.send(request, json.dumps({"error": {"message": "by plan"}}), fault, {"Retry-After": "0"})
        elif fault == "malformed":
            return self.send(request, '{"choices": [{"mess')
        elif fault == "other":
            return self.send(request, '{"choices": []}')
        elif fault == "html":
            return self.send(request, "<html>busy</html>", kind="text/html")
        elif fault == "cut":
            request.send_response(200)
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", "1000")
            request.end_headers()
            request.wfile.write(b'{"choices"')
            request.wfile.flush()
            request.close_connection = True
            return None
        try:
            if self.upstream and (data := self.forward(body)) is None:
                return self.send(request, "upstream is down", 502, {"Retry-After": "1"})
            self.send(request, data if self.upstream else self.reply(text, images))
        except OSError:
            request.close_connection = True
            return None
        if fault is None:
            with self.lock:
                self.answered[text] += 1
        return None

    def reply(self, text, images):
        reply = {"message": {"role": "assistant", "content": self.answer(text, images)}, "index": 0, "finish_reason": "stop"}
        return json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [reply]})

    def forward(self, body):
        """The server's answer, or None where it is down or has died meanwhile."""
        url, data = f"{self.upstream}/chat/completions", json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"})) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException):
            return None

    @staticmethod
    def send(request, text, status=200, headers=None, kind="application/json"):
        data = text.encode()
        request.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)
