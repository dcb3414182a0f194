"""The rules of CONTRIBUTING.md that a program can check: who may include whom, how long files and
functions may be, which functions are banned, what the README holds.

    python3 tests/lint/lint.py [ROOT]            print every problem, exit 1 if there is one
    python3 tests/lint/lint.py --update [ROOT]   rewrite ratchet.txt from the tree as it is

Lengths have a ratchet: what was already too long is listed in ratchet.txt with the length it may not
exceed, and nothing new is added to the list. Python's standard library only.
"""
import os
import re
import subprocess
import sys

FILE_SOFT, FILE_HARD = 500, 700
FUNCTION_SOFT = 70
README_MAX = 100
JOB_LINES = (10, 40)
COLUMNS = 110  # the code aims for 100; a comment may run over by a word
TEST_COLUMNS = 160  # tests hold whole jobs in a string

# What ISO C offers without asking an operating system for anything (no time, signals or threads).
C_HEADERS = set("""assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h
math.h setjmp.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h
stdnoreturn.h string.h tgmath.h uchar.h wchar.h wctype.h""".split())
CODEC_HEADERS = {"lz4.h", "lz4hc.h", "lz4frame.h", "zstd.h", "zstd_errors.h", "blosc.h", "jansson.h",
                 "xxhash.h", "openssl/evp.h", "openssl/err.h"}
SIMD_HEADERS = {"immintrin.h", "nmmintrin.h", "emmintrin.h", "arm_neon.h", "arm_acle.h", "cpuid.h"}
LUA_HEADERS = {"lua.h", "lauxlib.h", "lualib.h", "luajit.h", "lua.hpp"}
BACKEND_SEES = {"base.h", "err.h", "mem.h", "names.h", "backend.h", "os.h", "model.h", "types.h", "lsio.h"}
ENGINE_INSIDE = {"engine.h", "run.h", "arena.h", "place.h"}
PLANNER_NEVER = ENGINE_INSIDE | {"os.h", "sink.h", "spec.h", "xform.h"}
PLANNER = re.compile(r"^core/(plan|model|request)[a-z_]*\.[ch]$")
LUA_MODULES = re.compile(r"^(ffi|bit|jit(\.\w+)?|table\.(new|clear)|string\.buffer|lsio(\.[\w.]+)?)$")

BANNED = {
    "strcpy": "snprintf or memcpy with a length", "strcat": "snprintf", "sprintf": "snprintf",
    "vsprintf": "vsnprintf", "gets": "fgets", "strtok": "strcspn", "atoi": "strtol with checks",
    "atol": "strtol with checks", "atof": "strtod with checks", "alloca": "core/mem.h",
    "system": "no shell from C", "popen": "no shell from C", "tmpnam": "mkostemp",
    "mktemp": "mkostemp", "rand": "a seeded generator of our own", "srand": "a seed that is printed",
}
MEMORY_UNSAFE = {"strcpy", "strcat", "sprintf", "vsprintf", "gets", "alloca", "tmpnam", "mktemp"}
ALLOCATORS = {"malloc", "calloc", "realloc", "reallocarray", "free", "strdup", "strndup",
              "aligned_alloc", "posix_memalign", "memalign", "asprintf", "vasprintf"}


class Problem:
    def __init__(self, rule, path, line, text):
        self.rule, self.path, self.line, self.text = rule, path, line, text

    def __str__(self):
        return "%s:%d: [%s] %s" % (self.path, self.line, self.rule, self.text)


def list_files(root):
    """Paths, relative to root, of what is or will be under version control."""
    run = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode == 0 and run.stdout:
        names = run.stdout.splitlines()
    else:
        names = [os.path.relpath(os.path.join(d, f), root)
                 for d, dirs, files in os.walk(root) if "/.git" not in d for f in files]
    return sorted(n for n in names if os.path.isfile(os.path.join(root, n)))


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


C_TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def strip_c(text):
    """C without comments and with empty strings, line numbers kept."""
    def replace(m):
        s = m.group(0)
        if s[0] == '"':
            return '"' + " " * (len(s) - 2) + '"'
        return blank(m)
    return C_TOKENS.sub(replace, text)


def strip_preprocessor(code):
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, code, flags=re.M)


def layer(path):
    if path.startswith("lua/runner/"):
        return "runner"
    top = path.split("/")[0]
    return top if top in ("core", "backends", "lua", "bindings", "tests", "scripts") else ""


class Tree:
    def __init__(self, root):
        self.root = root
        self.files = list_files(root)
        self.known = set(self.files)
        self.text = {}
        for name in self.files:
            with open(os.path.join(root, name), "rb") as f:
                data = f.read()
            if b"\0" not in data:
                self.text[name] = data.decode("utf-8", "replace")
        self.code = {n: strip_c(t) for n, t in self.text.items() if n.endswith((".c", ".h"))}
        self.ratchet = self.read_ratchet()
        self.problems = []

    def read_ratchet(self):
        out = {}
        for line in self.text.get("tests/lint/ratchet.txt", "").splitlines():
            if line.strip() and not line.startswith("#"):
                name, length = line.rsplit(None, 1)
                out[name] = int(length)
        return out

    def add(self, rule, path, line, text):
        self.problems.append(Problem(rule, path, line, text))

    def resolve(self, path, name):
        """The file of this tree that an include or a quoted name in `path` means, or None."""
        folders = [os.path.dirname(path), "core", "backends", "lua", "tests/support"]
        for folder in folders:
            candidate = os.path.normpath(os.path.join(folder, name))
            if candidate in self.known:
                return candidate
        return None

    def includes(self, path):
        """(line, name, target or None) of each include; a target lies in this tree."""
        for i, line in enumerate(self.text[path].splitlines(), 1):
            m = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if m:
                target = self.resolve(path, m.group(2)) if m.group(1) == '"' else None
                yield i, m.group(1), m.group(2), target


def check_includes(t):
    """DESIGN's table: bindings -> lsio.h <- core <- {backends, lua}; nothing includes upward."""
    for path in sorted(t.code):
        where = layer(path)
        for line, kind, name, target in t.includes(path):
            why = ""
            if where in ("core", "backends", "lua", "runner") and kind == '"' and not target:
                why = "no such file in the tree"
            elif where == "core":
                why = core_include(path, kind, name, target)
            elif where == "backends":
                why = backend_include(kind, name, target)
            elif where == "lua":
                why = lua_include(kind, name, target)
            elif where == "runner":
                why = runner_include(name, target)
            elif where == "bindings":
                if (target and name != "lsio.h") or name in LUA_HEADERS | {"liburing.h"}:
                    why = "bindings see lsio.h only"
            if why:
                t.add("include", path, line, "%s: %s" % (name, why))
    check_planner(t)


def core_include(path, kind, name, target):
    if kind == '"':
        return "" if target.startswith("core/") else "core includes only core"
    if name in C_HEADERS | CODEC_HEADERS:
        return ""
    if name in SIMD_HEADERS and path.startswith("core/kernels/"):
        return ""
    return "core takes no header of an OS or of Lua; ask core/os.h"


def backend_include(kind, name, target):
    if kind == '"':
        if target.startswith("backends/") or os.path.basename(target) in BACKEND_SEES:
            return "" if not target.startswith("lua/") else "backends never see lua"
        return "backends see of core only " + ", ".join(sorted(BACKEND_SEES))
    if name in LUA_HEADERS or name == "jansson.h":
        return "backends hold OS, libcurl and liburing headers only"
    return ""


def lua_include(kind, name, target):
    if kind == '"':
        if target.startswith("backends/"):
            return "lua never sees backends"
        if target.startswith("lua/runner/"):
            return "the host does not see the runner"
        if target.startswith("core/") and os.path.basename(target) in ENGINE_INSIDE:
            return "the inside of the engine"
        return ""
    return "" if name in C_HEADERS | LUA_HEADERS | {"jansson.h"} else \
        "lua takes C, Lua and jansson headers only; ask core/os.h"


def runner_include(name, target):
    if target and target != "core/lsio.h" and not target.startswith("lua/runner/"):
        return "the runner sees core/lsio.h only"
    return "the runner sees core/lsio.h only" if name in LUA_HEADERS | {"liburing.h"} else ""


def check_planner(t):
    """The planner is pure: it reaches neither the OS nor the engine, through no chain of includes."""
    for path in sorted(p for p in t.code if PLANNER.match(p)):
        seen, queue = {path}, [(path, path)]
        while queue:
            current, chain = queue.pop()
            for line, kind, name, target in t.includes(current):
                if target is None or target in seen:
                    continue
                seen.add(target)
                if target.startswith("core/") and os.path.basename(target) in PLANNER_NEVER:
                    t.add("include", path, line, "the planner is pure, but reaches %s (%s)"
                          % (target, chain))
                queue.append((target, chain + " -> " + target))


def check_lua_requires(t):
    for path, text in sorted(t.text.items()):
        if not (path.startswith("lua/lsio/") and path.endswith(".lua")):
            continue
        for i, line in enumerate(text.splitlines(), 1):
            for name in re.findall(r"\brequire\s*\(?\s*[\"']([^\"']+)[\"']", line.split("--")[0]):
                if not LUA_MODULES.match(name):
                    t.add("include", path, i, "require '%s': only LuaJIT's and lsio's modules" % name)


def functions(code):
    """(name, first line, last line) of each C function definition."""
    code = strip_preprocessor(code)
    depth, start, line, out = 0, None, 1, []
    for i, c in enumerate(code):
        if c == "\n":
            line += 1
        elif c == "{":
            before = code[:i].rstrip()[-200:] if depth == 0 else ""
            if depth == 0 and re.search(r'extern\s+"\s*C?\s*"$', before):
                continue
            if depth == 0 and before.endswith(")"):
                start = (function_name(code[:i].rstrip()), line)
            depth += 1
        elif c == "}" and depth:
            depth -= 1
            if depth == 0 and start:
                out.append((start[0], start[1], line))
                start = None
    return out


def function_name(before):
    depth = 0
    for i in range(len(before) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(before[i], 0)
        if depth == 0:
            m = re.search(r"(\w+)\s*$", before[:i])
            return m.group(1) if m else "?"
    return "?"


def measure(t):
    """What is too long now: {"path": lines} and {"path:function": lines}."""
    out = {}
    for path, text in t.text.items():
        if path.endswith((".c", ".h", ".lua", ".py")) and layer(path):
            lines = text.count("\n")
            if lines > FILE_SOFT:
                out[path] = lines
    for path, code in t.code.items():
        for name, first, last in functions(code):
            if last - first + 1 > FUNCTION_SOFT:
                out["%s:%s" % (path, name)] = last - first + 1
    return out


def check_lengths(t):
    for key, lines in sorted(measure(t).items()):
        path = key.split(":")[0]
        limit = FUNCTION_SOFT if ":" in key else FILE_SOFT
        if ":" not in key and lines > FILE_HARD:
            t.add("length", path, 1, "%d lines, never more than %d" % (lines, FILE_HARD))
        elif key not in t.ratchet:
            t.add("length", path, 1, "%s has %d lines, at most %d" % (key, lines, limit))
        elif lines > t.ratchet[key]:
            t.add("length", path, 1, "%s grew from %d lines to %d; it may only shrink"
                  % (key, t.ratchet[key], lines))


def check_banned(t):
    for path, code in sorted(t.code.items()):
        allocator_free = layer(path) in ("core", "backends", "lua") and path != "core/mem.c"
        banned = MEMORY_UNSAFE if layer(path) in ("tests", "scripts") else BANNED
        source = t.text[path].splitlines()
        for i, line in enumerate(code.splitlines(), 1):
            for m in re.finditer(r"(\.|->|\w)?\s*\b(\w+)\s*\(", line):
                name = m.group(2)
                if m.group(1) in (".", "->") or "lint: allow " + name in source[i - 1]:
                    continue
                if name in banned:
                    t.add("banned", path, i, "%s(): use %s" % (name, BANNED[name]))
                elif name in ALLOCATORS and allocator_free:
                    t.add("banned", path, i, "%s(): memory comes from core/mem.h" % name)


def check_const_tables(t):
    for path, code in sorted(t.code.items()):
        if layer(path) not in ("core", "backends", "lua"):
            continue
        for m in re.finditer(r"^(?!.*\bconst\b).*\bstruct lsi_\w+_ops \w+(\[\w*\])? *=", code, re.M):
            t.add("const", path, code[:m.start()].count("\n") + 1, "an ops table must be const")


def check_guards(t):
    for path, code in sorted(t.code.items()):
        if re.match(r"core/kernels/x_\w+\.h$", path):
            continue  # a template: included once for each element type
        if path.endswith(".h") and not re.search(r"^\s*#\s*(ifndef|pragma once)", code, re.M):
            t.add("guard", path, 1, "a header without an include guard")


MACHINE_PATH = re.compile(r"(?<![\w.$}/-])/(?:work|root|home)/[\w.]|/tmp/" r"wt\b")
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")


def check_text(t):
    for path, text in sorted(t.text.items()):
        if not text or path.startswith("tests/fuzz/corpus/"):  # bytes that a machine made up
            continue
        if not text.endswith("\n") and path.endswith((".c", ".h", ".lua", ".py", ".md", ".txt")):
            t.add("text", path, text.count("\n") + 1, "no newline at the end")
        for i, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line):
                t.add("machine", path, i, "the path of one machine: " + line.strip())
            if UNFINISHED.search(line):
                t.add("unfinished", path, i, line.strip())
            if path.endswith((".c", ".h", ".lua", ".py")):
                if "\t" in line or line != line.rstrip():
                    t.add("text", path, i, "a tab or blanks at the end")
                most = TEST_COLUMNS if layer(path) == "tests" else COLUMNS
                if len(line) > most:
                    t.add("text", path, i, "%d columns, at most %d" % (len(line), most))


def check_readme(t):
    readme = t.text.get("README.md")
    if readme is None:
        t.add("readme", "README.md", 1, "missing")
        return
    lines = readme.count("\n")
    if lines >= README_MAX:
        t.add("readme", "README.md", lines, "%d lines, fewer than %d" % (lines, README_MAX))
    sources = [x for p, x in t.text.items() if p.startswith(("scripts/", "bindings/"))]
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", readme, re.M | re.S)
    for kind in ("lua", "c"):
        if not any(k == kind for k, _ in blocks):
            t.add("readme", "README.md", 1, "no example in " + kind)
    for kind, body in blocks:
        if kind in ("lua", "c") and not any(body in s for s in sources):
            t.add("readme", "README.md", 1, "a %s example that is no part of a file in scripts/ or "
                  "bindings/, so nothing tests it: %s" % (kind, body.splitlines()[0]))


def check_jobs(t):
    """Example jobs teach: one idea, one screen, nothing but lsio."""
    jobs = [p for p in t.text if re.match(r"scripts/[^/]+\.lua$", p)]
    if len(jobs) < 5:
        t.add("jobs", "scripts", 1, "%d example jobs, at least 5" % len(jobs))
    tested = t.text.get("tests/examples/test_examples.py", "")
    for path in sorted(jobs):
        text = t.text[path]
        lines = text.count("\n")
        if not JOB_LINES[0] <= lines <= JOB_LINES[1]:
            t.add("jobs", path, lines, "%d lines, not %d to %d" % ((lines,) + JOB_LINES))
        for word in re.findall(r"\bffi\b|\bio\.popen\b|\bos\.execute\b", text):
            t.add("jobs", path, 1, "an example does not need " + word)
        if os.path.basename(path) not in tested:
            t.add("jobs", path, 1, "tests/examples/test_examples.py does not run it")


CHECKS = [check_includes, check_lua_requires, check_lengths, check_banned, check_const_tables,
          check_guards, check_text, check_readme, check_jobs]


def problems(root, checks=None):
    t = Tree(root)
    for check in checks or CHECKS:
        check(t)
    return t.problems


def update(root):
    t = Tree(root)
    with open(os.path.join(root, "tests/lint/ratchet.txt"), "w") as f:
        f.write("# What is longer than the limits of lint.py, and the length it may not exceed.\n")
        for key, lines in sorted(measure(t).items()):
            f.write("%s %d\n" % (key, lines))


def main(argv):
    args = [a for a in argv if not a.startswith("-")]
    root = args[0] if args else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    if "--update" in argv:
        update(root)
        return 0
    found = problems(root)
    for p in found:
        print(p)
    print("%d problems" % len(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
