"""A Hugging Face Hub on this machine: the part of its HTTP API that fetching a dataset's files needs."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves {repository: {path: bytes}}; `served` lists the files that were sent; files in `broken` end in a 500."""

    def __init__(self, repositories):
        self.repositories, self.served, self.broken = repositories, [], set()

    def __enter__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.answer(self)

            do_HEAD = do_GET

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, request):
        parts = unquote(urlparse(request.path).path).strip("/").split("/")
        if parts[0] == "api":
            return self.send_api(request, "/".join(parts[2:4]), parts[4:])
        files = self.repositories.get("/".join(parts[1:3]), {})
        path = "/".join(parts[5:])
        if path in self.broken:
            return self.send(request, b"by plan", 500)
        return self.send(request, files[path], file=path) if path in files else self.missing(request)

    def send_api(self, request, repo, rest):
        if repo not in self.repositories:
            return self.missing(request)
        files = self.repositories[repo]
        if rest[:1] == ["tree"]:
            listed = [{"type": "file", "path": p, "size": len(d), "oid": etag(d)} for p, d in files.items()]
            return self.send(request, json.dumps(listed).encode())
        about = {"id": repo, "sha": REVISION, "private": False, "gated": False, "disabled": False, "tags": []}
        about |= {"downloads": 0, "likes": 0, "siblings": [{"rfilename": path} for path in files]}
        return self.send(request, json.dumps(about).encode())

    def missing(self, request):
        self.send(request, b"Repository not found", 404, code="RepoNotFound")

    def send(self, request, data, status=200, file=None, code=None):
        request.send_response(status)
        headers = {"Content-Length": str(len(data)), "X-Repo-Commit": REVISION, "Content-Type": "application/json"}
        headers |= {"ETag": f'"{etag(data)}"'} if file else {}
        headers |= {"X-Error-Code": code} if code else {}
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(data)
            if file:
                self.served.append(file)


def etag(data):
    """Git's name for a blob."""
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
