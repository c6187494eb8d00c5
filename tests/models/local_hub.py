"""A Hugging Face hub on this machine: as much of its interface as pushing and pulling a model takes."""

import base64
import hashlib
import json
import threading
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


def oid_of(content):
    return hashlib.sha1(content).hexdigest()


class LocalHub:
    """Repositories: name -> branch -> commits, each a dictionary of path -> content."""

    def __init__(self):
        self.repos = {}
        self.messages = []
        self.requests = []
        self.tokens = set()
        self.private = {}
        self.url = ""

    def add(self, repo, files, branch="main"):
        commits = self.repos.setdefault(repo, defaultdict(list))[branch]
        commits.append(dict(files))
        return self.sha(repo, branch)

    def sha(self, repo, branch="main", number=-1):
        files = self.repos[repo][branch][number]
        parts = [f"{path}:{oid_of(content)}" for path, content in sorted(files.items())]
        return hashlib.sha1("\n".join(parts).encode()).hexdigest()

    def files(self, repo, revision):
        """Those of a branch's newest commit, or of a commit; None where there is no such thing."""
        branches = self.repos[repo]
        if revision in branches:
            return branches[revision][-1] if branches[revision] else {}
        for branch, commits in branches.items():
            for number in range(len(commits)):
                if self.sha(repo, branch, number) == revision:
                    return commits[number]
        return None

    def commit(self, repo, branch, lines):
        branches = self.repos[repo]
        files = dict(branches[branch][-1]) if branches[branch] else {}
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        return self.add(repo, files, branch)


class Handler(BaseHTTPRequestHandler):
    hub = None
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=()):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for key, value in headers:
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def no(self, code, status=404):
        self.answer(status, {"error": code}, [("X-Error-Code", code), ("X-Error-Message", code)])

    def do_GET(self):
        hub, parts = self.hub, [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        hub.requests.append((self.command, self.path))
        api = parts[:2] == ["api", "models"]
        repo = "/".join(parts[2:4] if api else parts[:2])
        if repo not in hub.repos:
            return self.no("RepoNotFound")
        if api and len(parts) == 4:
            parts += ["revision", "main"]
        kind, revision, path = (parts[4:5] if api else parts[2:3])[0], *(
            (parts[5], "") if api else (parts[3], "/".join(parts[4:]))
        )
        files = hub.files(repo, revision)
        if files is None:
            return self.no("RevisionNotFound")
        sha = revision if revision not in hub.repos[repo] else hub.sha(repo, revision)
        if kind == "revision":
            siblings = [{"rfilename": name} for name in files]
            return self.answer(200, {"id": repo, "sha": sha, "siblings": siblings, "private": False})
        if kind == "tree":
            rows = [
                {"type": "file", "path": name, "size": len(content), "oid": oid_of(content)}
                for name, content in files.items()
            ]
            return self.answer(200, rows)
        if path not in files:
            return self.no("EntryNotFound")
        etag = oid_of(files[path])
        self.answer(200, files[path], [("ETag", f'"{etag}"'), ("X-Repo-Commit", sha)])

    do_HEAD = do_GET

    def do_POST(self):
        hub, parts = self.hub, [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        hub.requests.append((self.command, self.path))
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if parts[1] == "validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        if token not in hub.tokens:
            return self.answer(401, {"error": "Invalid username or password."})
        if parts[1:] == ["repos", "create"]:
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}"
            if repo in hub.repos:
                url = f"{hub.url}/{repo}"
                return self.answer(409, {"error": "You already created this model repo", "url": url})
            hub.private[repo] = asked.get("visibility") == "private" or asked.get("private", 0) == 1
            hub.add(repo, {})
            return self.answer(200, {"url": f"{hub.url}/{repo}", "name": repo})
        repo, kind, branch = "/".join(parts[2:4]), parts[4], parts[5]
        if kind == "branch":
            start = dict(hub.files(repo, "main") or {})
            hub.add(repo, start, branch)
            return self.answer(200, {})
        if kind == "preupload":
            rows = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for file in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": rows})
        sha = hub.commit(repo, branch, [json.loads(line) for line in body.splitlines()])
        url = f"{hub.url}/{repo}/commit/{sha}"
        self.answer(200, {"commitUrl": url, "commitOid": sha, "success": True})


@contextmanager
def local_hub():
    """A running hub; its address is `hub.url`."""
    hub = LocalHub()
    handler = type("HandlerOfHub", (Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
