"""What the tests of the runner share: a folder of its own, running lsio-lua, data files."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ.get("LSIO_SOURCE_DIR") or os.path.dirname(os.path.dirname(HERE))
RUNNER = os.environ.get("LSIO_RUNNER") or os.path.join(SOURCE, "build", "lsio-lua")


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def said(self):
        """stderr with the lines of the summary whole again."""
        return re.sub(r"\n {4}", " ", self.err)

    def __repr__(self):
        return "exit %d\n--- stdout\n%s--- stderr\n%s" % (self.code, self.out, self.err)


def normal_signals():
    """A shell that starts the tests in the background makes its children ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class RunnerTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="lsio-cli-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith("LSIO_") or k == "LSIO_JIT"}

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def data(self, name="a.f32", n=1000, dtype="<f4"):
        values = (np.arange(n) % 997).astype(dtype)
        values.tofile(self.path(name))
        return values

    def start(self, *args, **more):
        env = dict(self.env, **more.pop("env", {}))
        return subprocess.Popen([RUNNER] + list(args), cwd=self.dir, env=env,
                                stdout=more.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE,
                                stdin=more.pop("stdin", subprocess.DEVNULL),
                                preexec_fn=more.pop("before", normal_signals), **more)

    def run_lsio(self, *args, **more):
        """Runs lsio-lua in the test's folder."""
        text = more.pop("input", None)
        if text is not None:
            more["stdin"] = subprocess.PIPE
        p = self.start(*args, **more)
        try:
            out, err = p.communicate(text.encode() if text is not None else None, timeout=60)
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            raise
        return Result(p.returncode, (out or b"").decode(), err.decode(errors="replace"))

    def expect(self, code, *args, **more):
        r = self.run_lsio(*args, **more)
        self.assertEqual(r.code, code, r)
        return r

    def left(self):
        """Files in the folder, hidden ones too."""
        return sorted(os.listdir(self.dir))

    def summary(self, name="s.json"):
        with open(self.path(name)) as f:
            return json.load(f)


STATS = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("*.f32", { chunk = "400" }),
  type = "f32",
  params = { threshold = { 0.5, "count values above this" }, label = "sum" },
  state = "double sum, above, n;",
  transform = function(chunk, state, params)
    for i = 0, chunk.n - 1 do
      state.sum = state.sum + chunk.data[i]
      if chunk.data[i] > params.threshold then state.above = state.above + 1 end
    end
    state.n = state.n + chunk.n
  end,
  reduce = { sum = "sum", above = "sum", n = "sum" },
  done = function(r) print(string.format("%s %.0f %.0f %.0f", "result", r.sum, r.above, r.n)) end,
}
"""

COPY = """
local lsio = require "lsio"
return lsio.job {
  source = lsio.files("a.f32", { chunk = "400" }),
  type = "f32",
  sink = lsio.npy("out.npy"),
}
"""
