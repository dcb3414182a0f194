"""In a Jupyter kernel: what a job prints and logs stands below its cell, and `await` works in one."""

import numpy as np
import pytest

pytest.importorskip("ipykernel")

from jupyter_client.manager import start_new_kernel

CELLS = [
    "import asyncio, numpy as np, lsio\nPATH = {path!r}",
    """text = "function(c, s) print('seen', c.n) lsio.log('well') s.n = s.n + c.n end"
job = lsio.submit(lsio.files(PATH, whole=True), text, type="f4", state="double n;", reduce="sum")
job.result().state["n"]""",
    """parts = await asyncio.gather(*[lsio.get_range_async(PATH, start=4 * i, length=4) for i in range(100)])
float(sum(p.view("f4")[0] for p in parts))""",
    "sum([len(batch) async for batch in lsio.submit(lsio.files(PATH, chunk=400), type='f4')])",
    "lsio.submit(lsio.files(PATH), 'function(c) error(\\'no\\') end', type='f4').result()",
]


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    manager, client = start_new_kernel(startup_timeout=60)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client, text):
    """Return what stands below a cell: its streams, its value, its error."""
    below = {"stdout": "", "stderr": "", "value": None, "error": None}

    def hear(message):
        content = message["content"]
        if message["msg_type"] == "stream":
            below[content["name"]] += content["text"]
        elif message["msg_type"] == "execute_result":
            below["value"] = content["data"]["text/plain"]
        elif message["msg_type"] == "error":
            below["error"] = content["ename"], content["evalue"]

    client.execute_interactive(text, output_hook=hear, timeout=60)
    return below


def test_cells(kernel, tmp_path):
    values = np.random.default_rng(1).random(100_000, "f4")
    values.tofile(tmp_path / "a.f32")
    first, job, reads, stream, wrong = [c.replace("{path!r}", repr(str(tmp_path / "a.f32"))) for c in CELLS]
    assert run(kernel, first)["error"] is None
    below = run(kernel, job)
    assert below["value"] == "100000.0" and below["error"] is None
    assert below["stdout"] == "seen\t100000\n" and "well" in below["stdout"] + below["stderr"]
    assert float(run(kernel, reads)["value"]) == pytest.approx(float(values[:100].sum(dtype="f8")))
    assert run(kernel, stream)["value"] == "1000"
    name, text = run(kernel, wrong)["error"]
    assert name == "TransformError" and "no" in text
