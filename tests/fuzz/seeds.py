"""Writes the seeds of the fuzz targets, tests/fuzz/corpus/TARGET/seed-NAME: well-formed inputs, made by the
real encoders (numpy, the lz4 and zstd tools, liblz4, python-blosc). What fuzzing found lies beside them, named by its hash.

    python3 tests/fuzz/seeds.py [CORPUS]
"""
import csv
import ctypes
import io
import os
import struct
import subprocess
import sys
import zlib

import blosc
import numpy

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
LZ4, LZ4_BLOCK, ZSTD, BLOSC = 0, 1, 2, 3  # of the first byte of a codec input, modulo 4


def tool(*command, data=b""):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def lz4_block(data):
    lib = ctypes.CDLL("liblz4.so.1")
    out = ctypes.create_string_buffer(lib.LZ4_compressBound(len(data)))
    return out.raw[:lib.LZ4_compress_default(data, out, len(data), len(out))]


def codec_seeds():
    text = b"".join(b"line %d of a text that repeats itself\n" % i for i in range(60))
    noise = bytes((i * i * 31 + i // 7) & 255 for i in range(600))
    for name, data in (("empty", b""), ("text", text), ("noise", noise), ("mixed", text + noise + text)):
        frames = {
            "lz4": tool("lz4", "-c", "-q", data=data),
            "lz4-plain": tool("lz4", "-c", "-q", "--no-frame-crc", data=data),
            "lz4-linked": tool("lz4", "-c", "-q", "-9", "-BD", "-B4", "--no-frame-crc", data=data),
            "lz4-sums": tool("lz4", "-c", "-q", "-BX", "-B4", data=data),
            "zstd": tool("zstd", "-c", "-q", data=data),
            "zstd-plain": tool("zstd", "-c", "-q", "-19", "--no-check", data=data),
        }
        for kind, frame in frames.items():
            codec = ZSTD if kind.startswith("zstd") else LZ4
            yield "%s-%s" % (kind, name), bytes([codec, 14]) + frame
        if data:
            yield "block-%s" % name, bytes([LZ4_BLOCK, 14]) + lz4_block(data)
            for cname in ("lz4", "blosclz", "zlib", "zstd"):
                for shuffle in (blosc.NOSHUFFLE, blosc.SHUFFLE, blosc.BITSHUFFLE):
                    # One block, and blocks as small as they get.
                    blosc.set_blocksize(0 if shuffle else 128)
                    frame = blosc.compress(data, 4, 5, shuffle, cname)
                    yield "blosc-%s-%d-%s" % (cname, shuffle, name), bytes([BLOSC, 14]) + frame
    # Frames that name a dictionary, which need not be there for that; and a format that is not read.
    yield "zstd-dictionary", bytes([ZSTD, 14]) + bytes.fromhex("28b52ffd210703190000616263")
    yield "lz4-dictionary", bytes([LZ4, 14]) + bytes.fromhex("04224d1861402a0000008100000000")
    yield "lz4-legacy", bytes([LZ4, 14]) + tool("lz4", "-l", "-c", "-q", data=text)
    # From a pipe: the header states a window of 2 GiB, and not that there is less.
    yield "zstd-window", bytes([ZSTD + 4 * 8, 14]) + tool("zstd", "-c", "-q", "--long=31", data=text + noise)
    for codec in range(4):
        yield "nothing-%d" % codec, bytes([codec, 14])
    blosc.set_blocksize(128)
    for name, data in (("zeros", text), ("zeros-stored", noise)):
        yield "blosc-" + name, bytes([BLOSC, 14]) + blosc.compress(data, 4, 5, blosc.SHUFFLE, "lz4") + bytes(40)
    skip = struct.pack("<II", 0x184D2A53, 5) + b"hello"
    small = tool("lz4", "-c", "-q", "--no-frame-crc", data=text)
    yield "lz4-row", bytes([LZ4, 16]) + small + skip + small
    small = tool("zstd", "-c", "-q", "--no-check", data=text)
    yield "zstd-row", bytes([ZSTD, 16]) + skip + small + skip + small


def gzip_member(data, flags=0, how=6, bits=15, wrong=0):
    """With what its flags say of the head."""
    head = bytes([0x1F, 0x8B, 8, flags, 1, 2, 3, 4, 2, 255])
    head += b"\5\0extra" * (flags >> 2 & 1) + b"name\0" * (flags >> 3 & 1) + b"a comment\0" * (flags >> 4 & 1)
    if flags & 2:
        head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    c = zlib.compressobj(how % 10, zlib.DEFLATED, -bits, 8, how // 10)
    return head + c.compress(data) + c.flush() + struct.pack("<II", zlib.crc32(data) ^ wrong, len(data))


def gzip_seeds():
    text = b"".join(b"line %d of a text that repeats itself\n" % i for i in range(40))
    noise = bytes((i * i * 31 + i // 7) & 255 for i in range(300))
    far = noise + bytes(32468) + noise  # 32768 back
    for name, data in (("empty", b""), ("text", text), ("noise", noise), ("far", far)):
        for how in (0, 1, 6, 9, 16, 26, 36, 46):  # levels; 16 and on: strategies (zlib.h)
            yield "gzip-%d-%s" % (how, name), b"\x40\x14\1" + gzip_member(data, 0, how)
            c = zlib.compressobj(how % 10, zlib.DEFLATED, 9 + how % 7, 8, how // 10)
            yield "zlib-%d-%s" % (how, name), b"\x43\x14\7" + c.compress(data) + c.flush()
    for flags in range(32):
        yield "head-%d" % flags, b"\x82\x14\5" + gzip_member(text, flags)
    yield "reserved", b"\x40\x14\1" + gzip_member(text, 0x20)
    yield "checksum", b"\x40\x14\1" + gzip_member(text, 0, wrong=1)
    yield "members", b"\x22\x14\3" + gzip_member(text) + gzip_member(b"", 31) + gzip_member(noise, 8, 0) + bytes(9)
    yield "garbage", b"\x40\x14\1" + gzip_member(text) + b"garbage"
    yield "dictionary", b"\x41\x14\1" + b"\x78\xf9\1\2\3\4" + zlib.compress(text)[2:]
    yield "bomb", b"\x40\x0a\1" + gzip_member(bytes(1 << 20))


def npy(array, version=None):
    f = io.BytesIO()
    numpy.lib.format.write_array(f, array, version=version, allow_pickle=False)
    return f.getvalue()


def npy_seeds():
    rows = numpy.array([[0, 0, 4096, 7], [2, -100, 100, -1], [1, 1 << 40, 0, 0]], dtype="<i8")
    yield "ranges4", npy(rows)
    yield "ranges3", npy(rows[:, :3].copy())
    yield "ranges-fortran", npy(numpy.asfortranarray(rows))
    yield "ranges-big", npy(rows.astype(">i8"))
    yield "ranges-ends", npy(numpy.array([[0, 0, -1], [1, -100, -1]], dtype="<i8"))
    for dtype in ("<u8", "<i4", ">i4", "<u4"):
        yield "ranges-" + dtype.replace("<", "").replace(">", "big-"), npy(abs(rows % 100000).astype(dtype))
    yield "ranges-beyond", npy(numpy.array([[0, 1 << 63, 0]], dtype="<u8"))
    yield "ranges-none", npy(numpy.zeros((0, 3), dtype="<i8"))
    yield "scalar", npy(numpy.float32(1.5))
    yield "version2", npy(numpy.arange(6, dtype="<u2").reshape(2, 3), version=(2, 0))
    yield "version3", npy(numpy.arange(4, dtype="|u1"), version=(3, 0))
    yield "structure", npy(numpy.zeros(2, dtype=[("a", "<f4"), ("b", "<i2")]))
    yield "dimensions", npy(numpy.zeros((1,) * 32, dtype="<f8"))


def csv_text(rows, header, **options):
    f = io.StringIO()
    writer = csv.writer(f, **options)
    writer.writerow(header)
    writer.writerows(rows)
    return f.getvalue().encode()


def csv_seeds():
    rows = [("a.f32", 0, 4096), ("b,2.f32", -4096, 4096), ('say "x".bin', 7, 0), ("two\nlines", 1, 2)]
    tagged = [row + (i - 1,) for i, row in enumerate(rows)]
    names, tags = ("path", "offset", "length"), ("path", "offset", "length", "tag")
    yield "unix", csv_text(rows, names, lineterminator="\n")
    yield "windows", b"\xef\xbb\xbf" + csv_text(tagged, tags)
    # Numbers may stand in quotes, the header may not.
    yield "quoted", b"path,offset,length,tag\n" + csv_text(
        tagged[1:], tagged[0], lineterminator="\n", quoting=csv.QUOTE_ALL)
    yield "columns", csv_text([(i,) + row[::-1] for i, row in enumerate(tagged)], ("", "tag", "length", "offset", "path"))
    yield "blanks", b"\n path ,\toffset, \"length\" \n\n a.f32 , 0 ,\t7\n \t\n \" b\" ,\" -4\", \n\n"
    yield "numbers", csv_text([("x", -2**63, 2**63 - 1), ("x", 2**63 - 1, 0)], names, lineterminator="\n")
    yield "header", b"path,offset,length\n"
    yield "ends", csv_text([("a.f32", 4096, -1, 1), ("a.f32", -4096, "", 2)], tags)


def text_seeds(lines):
    for i, line in enumerate(lines):
        yield "%02d" % i, line.encode()


SETTINGS = [
    "workers=4\nmemory=1.5GiB\nqueue-depth=64\nbackend=uring\ndirect=always\nmerge=16KiB\nlimit=10\ndeadline=1.5h",
    "shard=3/16\non-error=skip\npin=never\nseed=18446744073709551615\non_error=fail",
    "?merge=never\nmerge=auto\n?merge=4096\nbackend=pread\nworkers=auto\nqueue_depth=auto",
    "memroy=1G\nworkers=0\nworkers=1025\nmemory=-1\nmemory=0.3B\nshard=4/4\nqueue=3\nworkers",
    "x=256KiB\nx=10MB\nx=8T\nx=<f4\nx=>i2\nx=|u1\nx=f64be\nx=lz4_block\nx=i8\nx=1e3",
    "tune=lend=always,stores=never\n?tune=straight=auto\ntune=lend=nver\ntune=store=always\ntune=,\ntune==\ntune=lend",
]
FLAGS = [
    "-j4\n--memory\n1GiB\n--limit=5\njob.lua\n--threshold\n0.7",
    "--explain=json\n--json=-\n--errors\nbad.jsonl\n--progress\nnever\n-q\n--\n-job.lua\na\nb",
    "-e\nreturn lsio.job {}\nx\ny", "--help\njob.lua", "job.lua\n--help", "--version", "--doctor", "-h", "-V",
    "--explian\njob.lua", "--workers", "--shard=0/4\n--on-error\nskip\n-\nparameter", "--json=\n-j\n2\n-j=2\nx.lua",
]
GLOBS = ["*", "*.f32", "**", "**/*", "sub/**/?", "{a,b}.f32", "{a,sub/{a,z*}}*", "[ab].f32", "[!a]*", "\\{x,y\\}",
         "{x,y}", ".*", "sub/loop/sub/*", "o[[]d]d/*", "b,c", "**/**/2", "sub/", "./*", "../*", "{,,}*", "[[:alpha:]]*"]
PATHS = ["a\nb\n\nc\r\n", "one", "z\ny\nx\n" * 5, "\n\n", "no end\nof line", "\r\n\ra\n",
         "file:///a%20b\nFILE://localhost/c%2A\r\ns3://d\n", "file:///a%4", "/a\nfile://host/b\n",
         "a\0b\nc\r\0\0file:///d%0A\0no end", "\ufeff\r\na", "\ufeffa\n\ufeffb"]
JSON = ['{"sum": 0.1, "n": 9007199254740993}', "[1, [2, {\"a\": null}], true]", '"text \\u0000 \\n \\ud83d\\ude00"', "1e308",
        "-0", "{}", "nonsense", '{"a": 1, "a": 2}', "\u00e9\u20ac"]
GROUP2 = """=/proc/self/cgroup
0::/user.slice/job
=/sys/fs/cgroup/user.slice/job/cpu.max
150000 100000
=/sys/fs/cgroup/user.slice/cpu.max
max 100000
=job/memory.max
1073741824
=memory.current
536870912
=memory.stat
anon 1
inactive_file 4096
file 9
=/proc/meminfo
MemTotal:       24576000 kB
MemAvailable:   20000000 kB
=/proc/self/status
Name:\tlsio
VmHWM:\t  123456 kB
=io_uring_disabled
2
=/sys/kernel/mm/transparent_hugepage/enabled
always [madvise] never"""
GROUP1 = """=/proc/self/cgroup
12:cpu,cpuacct:/docker/abc
4:memory:/docker/abc
1:name=systemd:/docker/abc
=/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us
250000
=cpu.cfs_period_us
100000
=memory.limit_in_bytes
9223372036854771712
=memory.usage_in_bytes
5
=memory.stat
total_inactive_file 3"""
DISK = """=/partition
1
=/../dev
8:0
=/slaves
dm-0
=/sys/class/block/dm-0/dev
253:1
=rotational
1
=nr_requests
256
=max_sectors_kb
1280
=logical_block_size
4096
=/mq
0
1
=/device/model
QEMU HARDDISK
=/sys/block
sda
=/sys/block/sda/device

=/sys/block/sda/dev
8:0"""
MOUNTS = """=/proc/self/mountinfo
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
31 1 0:35 / /data rw - btrfs /dev/sdb2 rw,subvol=/
=/dev/sdb2
8:18
=/loop/backing_file
/dev/sdb2
=/data/file
0x9123683e"""
NETWORK = "=/data/file\n0x6969\n"


HEADS = [
    "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/9\r\nETag: \"a\"\r\n"
    "Last-Modified: Mon, 30 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\nx-amz-request-id: 1\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nETag: e\r\n\r\nHTTP/2 200\r\nserver:\tx \r\n\r\n"
    "ETag: trailer\r\n",
    "HTTP/1.0 503 Slow Down\nRetry-After:7\nDate: d\nContent-Length: 1\nCONTENT-LENGTH: 2\n\n",
    "HTTP/1.1 307 x\r\nLocation: http://a/b\r\nAccept-Ranges: none\r\nContent-Encoding: gzip\r\n folded\r\n\r\n",
]


def plan_seeds():
    head = struct.pack("<BBBH", 1, 0, 3, 64)  # small, two devices, the gap for merge
    objects = b"\x01" + struct.pack("<HBHB", 2000, 0, 1500, 1)
    one = b"".join(struct.pack("<BBHH", 2, i & 1, 100 * i, 90) for i in range(10))
    yield "merge", head + objects + one
    yield "steps", b"\x09" + head[1:] + objects + struct.pack("<BBHHBHH", 4, 0, 0, 50, 1, 40, 60) * 3
    yield "cut", b"\x01" + head[1:] + objects + struct.pack("<BBHHHHH", 3, 0, 0, 0, 0, 1900, 100)
    yield "never", b"\x03" + head[1:] + objects + one
    yield "gap", b"\x07" + head[1:] + objects + one
    yield "shard", b"\x31" + head[1:] + objects + one
    huge = b"\x00" + struct.pack("<QB", 2**63 - 1, 0)
    far = struct.pack("<BBqq", 2, 0, 2**62, 2**61) + struct.pack("<BBqq", 2, 0, -4096, 4096)
    yield "huge", b"\x00" + head[1:] + huge + far


SEEDS = {
    "codec": codec_seeds, "gzip": gzip_seeds, "npy": npy_seeds, "csv": csv_seeds, "plan": plan_seeds,
    "settings": lambda: text_seeds(SETTINGS), "flags": lambda: text_seeds(FLAGS),
    "glob": lambda: text_seeds(GLOBS), "paths": lambda: text_seeds(PATHS), "json": lambda: text_seeds(JSON),
    "head": lambda: text_seeds(HEADS),
    "proc": lambda: text_seeds([GROUP2, GROUP1, DISK, MOUNTS, NETWORK, GROUP2 + "\n" + DISK,
                               DISK.replace("256", "2").replace("1280", "64").replace("QEMU", "WDC")]),
}


def main(corpus):
    for target, seeds in SEEDS.items():
        folder = os.path.join(corpus, target)
        os.makedirs(folder, exist_ok=True)
        for name, data in seeds():
            with open(os.path.join(folder, "seed-" + name), "wb") as f:
                f.write(data)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else CORPUS)
