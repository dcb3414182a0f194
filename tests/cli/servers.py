"""Servers on loopback for the tests: a real nginx, and one that answers as it is told."""
import contextlib
import http.server
import os
import shutil
import socket
import subprocess
import threading
import time

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

CONF = """
daemon off; master_process off; worker_processes 1; pid %(dir)s/pid; error_log %(dir)s/error.log;
events { worker_connections 2048; }
http {
  access_log %(dir)s/access.log; sendfile on; default_type application/octet-stream;
  client_body_temp_path %(dir)s/t1; proxy_temp_path %(dir)s/t2; fastcgi_temp_path %(dir)s/t3;
  uwsgi_temp_path %(dir)s/t4; scgi_temp_path %(dir)s/t5;
  ssl_certificate %(dir)s/cert.pem; ssl_certificate_key %(dir)s/key.pem;
  server {
    listen 127.0.0.1:%(plain)d; listen 127.0.0.1:%(tls)d ssl; root %(root)s;
    location /few/ { alias %(root)s/; keepalive_requests 3; }
    location /gzip/ { alias %(root)s/; gzip on; gzip_types *; gzip_min_length 1; }
    location /locked/ { alias %(root)s/; auth_basic "x"; auth_basic_user_file %(dir)s/users; }
    location /moved/ { rewrite ^/moved/(.*)$ /$1 redirect; }
    location /round/ { rewrite ^/round/(.*)$ /round/$1 permanent; }
  }
}
"""


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for(port, process):
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError("the server does not start")


def make_certificate(folder):
    """One that signs itself, for 127.0.0.1."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lsio-test",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder + "/key.pem", "-out",
                    folder + "/cert.pem"], check=True, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def nginx(root, folder):
    """Serves `root`; yields the URL, and that of TLS. Its own files lie in `folder`."""
    os.makedirs(folder, exist_ok=True)
    make_certificate(folder)
    password = subprocess.run(["openssl", "passwd", "-apr1", "s3cret"], check=True, capture_output=True, text=True).stdout
    with open(folder + "/users", "w") as f:
        f.write("me:" + password)
    plain, tls = free_ports(2)
    with open(folder + "/nginx.conf", "w") as f:
        f.write(CONF % {"dir": folder, "root": root, "plain": plain, "tls": tls})
    os.chmod(folder, 0o755)
    process = subprocess.Popen([NGINX, "-c", folder + "/nginx.conf", "-p", folder, "-e", folder + "/error.log"],
                               stderr=subprocess.DEVNULL)
    try:
        wait_for(plain, process)
        yield "http://127.0.0.1:%d" % plain, "https://127.0.0.1:%d" % tls
    finally:
        process.terminate()
        process.wait()


class Told(http.server.ThreadingHTTPServer):
    """Objects in memory, and what `answer` makes of each request: it is given the handler, and returns True where it
    has answered itself. Counts requests."""
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, objects, answer=None):
        self.objects, self.answer = objects, answer
        self.lock, self.requests = threading.Lock(), []
        super().__init__(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.server_address[1]

    def __exit__(self, *args):
        self.shutdown()
        self.thread.join()
        self.server_close()

    def handle_error(self, request, client_address):
        pass  # clients go when they have seen enough


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    etag = '"1"'

    def log_message(self, *args):
        pass

    def range(self):
        """First and last byte that are asked for, or None."""
        text = self.headers.get("Range")
        if not text:
            return None
        first, last = text.removeprefix("bytes=").split("-")
        size = len(self.server.objects[self.path])
        return int(first), min(int(last or size), size - 1)

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def body(self, data):
        self.wfile.write(data)

    def right(self, **more):
        """The right answer, with other headers where they are given; None leaves one out."""
        data, part = self.server.objects[self.path], self.range()
        headers = {"ETag": self.etag, "Accept_Ranges": "bytes"}
        if part:
            headers["Content_Range"] = "bytes %d-%d/%d" % (part[0], part[1], len(data))
            data = data[part[0]:part[1] + 1]
        headers["Content_Length"] = len(data)
        headers.update(more)
        self.head(206 if part else 200, **{k: v for k, v in headers.items() if v is not None})
        return data

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        with self.server.lock:
            self.server.requests.append((self.command, self.path, self.headers.get("Range")))
        if self.server.answer and self.server.answer(self):
            return
        if self.path not in self.server.objects:
            self.head(404, Content_Length=0)
            return
        part = self.range()
        if part and part[0] > part[1]:
            self.head(416, Content_Range="bytes */%d" % len(self.server.objects[self.path]), Content_Length=0)
            return
        data = self.right()
        if self.command == "GET":
            self.body(data)
