"""Jobs over http:// and https://: a real nginx, and servers that fail or lie as they are told."""
import os
import signal
import socket
import threading
import unittest

import numpy as np

import servers
from support import RunnerTest

JOB = """local lsio = require "lsio"
return lsio.job {
  source = %s, type = "u8", %s
  sink = lsio.raw("out"),
}"""


class Http(RunnerTest):
    """Copies of what is read, beside what it should be."""

    def job(self, source, more=""):
        return self.write("job.lua", JOB % (source, more))

    def run_it(self, code, job, *options, **more):
        return self.expect(code, "--replace", *options, job, **more)

    def copied(self):
        with open(self.path("out"), "rb") as f:
            return f.read()

    def data_bytes(self, n, seed=1):
        return np.random.default_rng(seed).integers(0, 256, n, np.uint8).tobytes()


@unittest.skipUnless(servers.NGINX, "there is no nginx here")
class Nginx(Http):
    def setUp(self):
        super().setUp()
        self.root = self.path("www")
        os.mkdir(self.root)
        os.chmod(self.dir, 0o755)
        self.bytes = self.data_bytes(3_000_017)
        for name, data in (("a.bin", self.bytes), ("empty.bin", b""), ("one.bin", b"1")):
            with open(self.root + "/" + name, "wb") as f:
                f.write(data)
        server = servers.nginx(self.root, self.path("nginx"))
        self.http, self.https = self.enterContext(server) if hasattr(self, "enterContext") else server.__enter__()
        if not hasattr(self, "enterContext"):
            self.addCleanup(server.__exit__, None, None, None)

    def copies(self, url, source="lsio.files('%s', { chunk = '%s' })", chunk="64KiB", **more):
        self.run_it(0, self.job(source % (url, chunk)), "--json", "s.json", **more)
        self.assertEqual(self.copied(), self.bytes)
        return self.summary()

    def test_the_bytes(self):
        for place in ("", "/few", "/gzip", "/moved"):
            for chunk in ("64KiB", "1MiB", "8MiB"):
                s = self.copies(self.http + place + "/a.bin", chunk=chunk)
                self.assertEqual(s["bytes_read"], len(self.bytes))
                self.assertEqual(s["backend"], "http")
        self.copies(self.http + "/a.bin", source="lsio.files('%s', { whole = true, offset = 0 --[[%s]] })")

    def test_tls_with_a_certificate_of_ones_own(self):
        trust = {"SSL_CERT_FILE": self.path("nginx/cert.pem")}
        self.copies(self.https + "/a.bin", env=trust)
        r = self.run_it(5, self.job("lsio.files('%s/a.bin')" % self.https))
        self.assertIn("certificate is not trusted", r.err)
        self.assertIn("SSL_CERT_FILE", r.err)

    def test_small_and_empty_objects(self):
        urls = ["%s/%s.bin" % (self.http, name) for name in ("one", "empty", "one")]
        self.run_it(0, self.job("lsio.files({'%s'}, { whole = true })" % "','".join(urls)))
        self.assertEqual(self.copied(), b"11")

    def test_ranges_and_lists_of_them(self):
        starts = [5, 1_000_000, 17, 2_999_000, 0]
        want = b"".join(self.bytes[s:s + 1017] for s in starts)
        url = self.http + "/a.bin"
        self.run_it(0, self.job("lsio.ranges{ objects = {'%s'}, offset = {%s}, length = {%s} }" % (
            url, ",".join(map(str, starts)), ",".join(["1017"] * 5))))
        self.assertEqual(self.copied(), want)
        with open(self.root + "/r.csv", "w") as f:
            f.write("path,offset,length\n" + "".join("%s,%d,1017\n" % (url, s) for s in starts))
        self.run_it(0, self.job("lsio.ranges{ file = '%s/r.csv' }" % self.http))
        self.assertEqual(self.copied(), want)
        with open(self.root + "/list.txt", "w") as f:
            f.write("%s/one.bin\n%s/one.bin\n" % (self.http, self.http))
        self.run_it(0, self.job("lsio.list('%s/list.txt')" % self.http))
        self.assertEqual(self.copied(), b"11")

    def test_credentials(self):
        locked = self.http.replace("http://", "http://me:s3cret@") + "/locked/a.bin"
        self.copies(locked)
        self.copies(locked.replace("/locked/", "/moved/locked/"))  # within one server they go along
        r = self.run_it(4, self.job("lsio.files('%s/locked/a.bin')" % self.http))
        self.assertIn("wants credentials", r.err)
        r = self.run_it(4, self.job("lsio.files('%s')" % locked.replace("s3cret", "hunter2")), "--json", "s.json")
        with open(self.path("s.json")) as f:
            self.assertNotIn("hunter2", r.err + r.out + f.read())
        r = self.run_it(0, self.job("lsio.files('%s', { chunk = '1MiB' })" % locked), "--explain")
        self.assertNotIn("s3cret", r.out + r.err)

    def test_what_is_not_there(self):
        r = self.run_it(4, self.job("lsio.files('%s/none.bin')" % self.http))
        self.assertIn("no such object: object '%s/none.bin': HTTP status 404" % self.http, r.err)
        urls = "','".join("%s/%s.bin" % (self.http, name) for name in ("one", "none", "one"))
        r = self.run_it(1, self.job("lsio.files({'%s'}, { whole = true })" % urls, "on_error = 'skip', fill = 0,"),
                        "--errors", "e.jsonl")
        with open(self.path("e.jsonl")) as f:
            self.assertIn('"not_found"', f.read())
        self.run_it(0, self.job("lsio.files({'%s'}, { whole = true, missing = 'skip' })" % urls))
        self.assertEqual(self.copied(), b"11")
        r = self.run_it(4, self.job("lsio.files('%s/round/x')" % self.http))
        self.assertIn("redirects more than 5 times", r.err)
        r = self.run_it(5, self.job("lsio.files({'%s/one.bin', 'job.lua'})" % self.http))
        self.assertIn("two kinds of stores", r.err)


class Told(Http):
    """One server, and one thing that is wrong with it."""
    SIZE = 1_000_000

    def serve(self, answer=None):
        self.bytes = self.data_bytes(self.SIZE, 3)
        server = servers.Told({"/a": self.bytes}, answer)
        self.addCleanup(server.__exit__, None, None, None)
        self.url = server.url + "/a"
        return server

    def run_job(self, code, chunk="100000", *args):
        return self.run_it(code, self.job("lsio.files('%s', { chunk = '%s' })" % (self.url, chunk)), "--json",
                           "s.json", "--merge=never", *args)

    def test_what_passes_is_tried_again(self):
        seen = {}

        def now_and_then(kind):
            def answer(h):
                if h.command == "HEAD":
                    return False
                last = h.range()[1]
                n = seen[last] = seen.get(last, 0) + 1
                if n > 2:
                    return False
                if kind == "busy":
                    h.head(503, Content_Length=0)
                elif kind == "error":
                    h.head(500, Content_Length=5)
                    h.body(b"sorry")
                elif kind == "closed":
                    h.close_connection = True
                elif kind == "broken":
                    h.body(h.right()[:30000 * n])
                    h.close_connection = True
                elif kind == "reset":
                    h.body(h.right()[:10000])
                    h.wfile.flush()
                    h.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    os.close(h.connection.detach())
                return True
            return answer

        for kind in ("busy", "error", "closed", "broken", "reset"):
            with self.subTest(kind):
                seen.clear()
                server = self.serve(now_and_then(kind))
                self.run_job(0)
                self.assertEqual(self.copied(), self.bytes)
                if kind == "broken":  # what has come is not asked for again
                    self.assertIn(("GET", "/a", "bytes=30000-99999"), server.requests)

    def test_what_is_wrong_is_refused(self):
        def lies(kind):
            def answer(h):
                part = h.range()
                if h.command == "HEAD" or part is None or part[0] == 0:
                    return False
                if kind == "whole":
                    h.head(200, Content_Length=len(h.server.objects[h.path]))
                    h.body(h.server.objects[h.path])
                    return True
                more = {"other": {"Content_Range": "bytes 0-99999/1000000"}, "none": {"Content_Range": None},
                        "odd": {"Content_Range": "bytes=100000-199999/1000000"}, "gzip": {"Content_Encoding": "gzip"},
                        "parts": {"Content_Type": "multipart/byteranges; boundary=x"}, "tag": {"ETag": '"2"'},
                        "shrunk": {"Content_Range": "bytes %d-%d/999999" % part}}[kind]
                h.body(h.right(**more))
                return True
            return answer

        for kind, code, words in (("whole", 4, "does not send ranges"), ("other", 5, "another range"),
                                  ("none", 5, "does not say which range"), ("odd", 5, "makes no sense"),
                                  ("gzip", 4, "compressed on the way"), ("parts", 5, "several parts"),
                                  ("tag", 4, "was modified"), ("shrunk", 4, "become shorter")):
            with self.subTest(kind):
                self.serve(lies(kind))
                r = self.run_job(code)
                self.assertIn(words, r.err)
                self.assertIn("/a'", r.err)
                self.assertNotIn("out", self.left())

    def test_a_server_that_is_silent(self):
        gate, asked = threading.Event(), threading.Event()
        self.addCleanup(gate.set)

        def answer(h):
            if h.command == "GET" and h.range()[0] == 300000:
                asked.set()
                gate.wait(60)
            return False

        self.serve(answer)
        p = self.start("--merge=never", self.job("lsio.files('%s', { chunk = '100000' })" % self.url))
        self.assertTrue(asked.wait(30))
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=30)
        self.assertEqual(p.returncode, 130)
        self.assertNotIn("out", self.left())
        r = self.run_job(9, "100000", "--deadline=1s")
        self.assertIn("deadline", r.err)

    def test_if_match_is_sent(self):
        matches = set()

        def answer(h):
            if h.command == "GET":
                matches.add(h.headers.get("If-Match"))
            if h.headers.get("If-Match") == '"1"' and h.range()[0] == 900000:
                h.head(412, Content_Length=0)
                return True
            return False

        self.serve(answer)
        r = self.run_job(4)
        self.assertIn("was modified", r.err)
        self.assertIn('"1"', matches)

    def test_servers_without_head(self):
        for ranges in (True, False):
            with self.subTest(ranges=ranges):
                def answer(h):
                    if h.command == "HEAD":
                        h.head(403, Content_Length=0)
                        return True
                    if not ranges:
                        h.head(200, Content_Length=len(h.server.objects[h.path]))
                        h.body(h.server.objects[h.path])
                    return not ranges

                server = self.serve(answer)
                server.objects["/empty"] = b""
                self.run_it(0, self.job("lsio.files('%s', { whole = true })" % self.url))
                self.assertEqual(self.copied(), self.bytes)
        server.answer = lambda h: h.command == "HEAD" and (h.head(405, Content_Length=0) or True)
        self.run_job(0)
        self.assertEqual(self.copied(), self.bytes)
        server.answer = lambda h: h.head(403, Content_Length=0) or True
        r = self.run_job(4)
        self.assertIn("does not allow it: object", r.err)

    def test_no_server(self):
        port, = servers.free_ports(1)
        r = self.run_it(5, self.job("lsio.files('http://127.0.0.1:%d/x')" % port))
        self.assertIn("can't be reached", r.err)
        self.assertIn("tries", r.err)


if __name__ == "__main__":
    unittest.main()
