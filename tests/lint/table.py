"""Who sees whom: one row for each folder that holds C, read by lint.py (includes) and symbols.py (what the
linker sees). A folder sees itself, what its row names, and what those see. Where a row names one file, it sees
that file only. A row ends with the groups of headers from outside the tree that the folder may include.
"""

ROOTS = ("core", "backends", "lua")     # each of their files lies in a folder that has a row
TOPS = ("bindings", "tests", "scripts")  # their row stands for all that lies below

FOLDERS = {
    # folder: (what it sees, which headers from outside)
    "core/lsio": ("", "C"),
    "core/lsio.h": ("core/lsio", "C"),
    "core/ground": ("core/lsio.h", "C"),
    "core/value": ("core/ground", "C"),
    "core/seams": ("core/ground", "C"),
    "core/kernels": ("core/ground", "C simd xxhash"),
    "core/codec": ("core/ground core/kernels core/seams/codec.h", "C codecs crypto"),
    "core/lists": ("core/ground", "C"),
    # Pure: no clock, no I/O. So of the seams no os.h and no store.h, through no chain of includes.
    "core/plan": ("core/ground core/seams/object.h core/seams/backend.h core/seams/model.h", "C json"),
    "core/memory": ("core/ground core/seams/os.h core/seams/model.h core/seams/backend.h core/seams/object.h", "C"),
    "core/job": ("core/plan core/seams core/codec", "C json"),
    "core/sink": ("core/job core/seams core/lists core/kernels core/memory", "C"),
    "core/vec": ("core/ground core/kernels core/seams/xform.h", "C"),
    "core/engine/state": ("core/sink", "C"),
    "core/engine/read": ("core/engine/state", "C"),
    "core/engine/step": ("core/engine/read", "C"),
    "core/engine/loop": ("core/engine/step", "C"),
    "core/api": ("core/engine/loop core/value core/vec", "C"),
    "backends": ("core/ground core/seams", "C os"),
    "backends/linux": ("backends", "C os uring"),
    "backends/test": ("backends backends/http/http_wire.h", "C"),
    "backends/http": ("backends", "C os curl crypto xxhash json"),
    "lua/host": ("core/sink core/value core/vec", "C lua"),
    "lua/lsio": ("", ""),  # Lua modules, which require each other and what LuaJIT brings
    "lua/runner": ("core/lsio.h", "C os json"),
    "bindings": ("core/lsio.h", "C os json"),
    "scripts": ("", "C os codecs"),
    "tests": ("*", "*"),
}
COMING = {"core/vec"}  # rows whose first file is not there yet

# What these declare, others implement: who calls it sees the declaration, not the file that holds the code.
SEAMS = {"core/lsio.h", "core/lsio", "core/seams", "backends"}

HEADERS = {
    # What ISO C offers without asking an operating system for anything (no time, signals or threads).
    "C": """assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h math.h setjmp.h
        stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h
        tgmath.h uchar.h wchar.h wctype.h""",
    "codecs": "lz4.h lz4hc.h lz4frame.h zstd.h zstd_errors.h blosc.h zlib.h isa-l/igzip_lib.h libdeflate.h",
    "crypto": "openssl/evp.h openssl/err.h",
    "xxhash": "xxhash.h",
    "json": "jansson.h",
    "simd": "immintrin.h nmmintrin.h emmintrin.h arm_neon.h arm_acle.h cpuid.h",
    "lua": "lua.h lauxlib.h lualib.h luajit.h lua.hpp",
    "uring": "liburing.h",
    "curl": "curl/curl.h",
    "os": "",  # every other header
}
