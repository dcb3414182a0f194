"""The rules of CONTRIBUTING.md that a program can check: who may include whom (table.py, layers.py), how long
files and functions may be, which functions are banned, what the README holds.

    python3 tests/lint/lint.py [ROOT]   print every problem, exit 1 if there is one

What breaks a rule today stands in known.txt and may only shrink. Python's standard library only.
"""
import os
import re
import subprocess
import sys

import table
from layers import KNOWN, Layers, check_folders, check_includes, check_known, known

FILE_MAX = 500
FUNCTION_MAX = 70
FIELDS_MAX = 40
README_MAX = 100
JOB_LINES = (10, 40)
COLUMNS = 110  # the code aims for 100; a comment may run over by a word
TEST_COLUMNS = 160  # tests hold whole jobs in a string

LUA_MODULES = re.compile(r"^(ffi|bit|jit(\.\w+)?|table\.(new|clear)|string\.buffer|lsio(\.[\w.]+)?)$")

BANNED = {
    "strcpy": "snprintf or memcpy with a length", "strcat": "snprintf", "sprintf": "snprintf",
    "vsprintf": "vsnprintf", "gets": "fgets", "strtok": "strcspn", "atoi": "strtol with checks",
    "atol": "strtol with checks", "atof": "strtod with checks", "alloca": "mem.h",
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
    top = path.split("/")[0]
    return top if top in table.ROOTS + table.TOPS else ""


class Tree:
    def __init__(self, root, table=table):
        self.root, self.table = root, table
        self.files = list_files(root)
        self.known = set(self.files)
        self.text = {}
        for name in self.files:
            with open(os.path.join(root, name), "rb") as f:
                data = f.read()
            if b"\0" not in data:
                self.text[name] = data.decode("utf-8", "replace")
        self.code = {n: strip_c(t) for n, t in self.text.items() if n.endswith((".c", ".h"))}
        self.layers = Layers(table, self.files)
        self.included = {}
        self.problems = []

    def add(self, rule, path, line, text):
        self.problems.append(Problem(rule, path, line, text))

    def includes(self, path):
        """(line, quote, name, target or None) of each include; a target lies in this tree."""
        if path not in self.included:
            self.included[path] = list(self.read_includes(path))
        return self.included[path]

    def read_includes(self, path):
        for i, line in enumerate(self.text[path].splitlines(), 1):
            m = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if m:
                target = self.layers.resolve(path, m.group(2)) if m.group(1) == '"' else None
                yield i, m.group(1), m.group(2), target


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


def check_lengths(t):
    for path, text in sorted(t.text.items()):
        lines = text.count("\n")
        if path.endswith((".c", ".h", ".lua", ".py")) and layer(path) and lines > FILE_MAX:
            t.add("length", path, 1, "%d lines, at most %d" % (lines, FILE_MAX))
    for path, code in sorted(t.code.items()):
        for name, first, last in functions(code):
            if last - first + 1 > FUNCTION_MAX:
                t.add("length", path, first, "%s has %d lines, at most %d"
                      % (name, last - first + 1, FUNCTION_MAX))


def closing(code, start):
    """Where the brace that opens at `start` is closed."""
    depth = 0
    for i in range(start, len(code)):
        depth += {"{": 1, "}": -1}.get(code[i], 0)
        if depth == 0:
            return i
    return len(code)


def fields(body):
    """How many fields a struct's body declares; those of a struct or union within it count one by one."""
    n, i, start, depth = 0, 0, 0, 0
    while i < len(body):
        c = body[i]
        if c == "{":
            end = closing(body, i)
            if re.search(r"\b(struct|union)\b[^;{]*$", body[start:i]):
                n += fields(body[i + 1:end]) - 1  # its own name, or none, is counted below
            i = end
        depth += {"(": 1, ")": -1, "[": 1, "]": -1}.get(c, 0)
        if depth == 0 and (c == "," or c == ";" and body[start:i].strip()):
            n += 1
        if depth == 0 and c == ";":
            start = i + 1
        i += 1
    return n


FUNCTION = re.compile(r"[\w\s*]+\(\s*\*\s*\w+\s*(\[[^\]]*\]\s*)*\)\s*(?=\()")
NAME = re.compile(r"const\s+char\s*\*\s*\w+$")


def is_table(body):
    """Whether a struct's body declares functions only: pointers to them, arrays of these, and one name."""
    declared = [d.strip() for d in body.split(";") if d.strip()]
    functions = [d for d in declared if FUNCTION.match(d) and closes(d, FUNCTION.match(d).end())]
    rest = [d for d in declared if d not in functions]
    return bool(functions) and len(rest) <= 1 and all(NAME.match(d) for d in rest)


def closes(text, start):
    """Whether the parenthesis that opens at `start` is closed where the text ends."""
    depth = 0
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i == len(text) - 1
    return False


def structs(code):
    """(name, line, number of fields) of each struct that is defined in C code, not within another one. What is
    a table of functions counts as one field: it owns none of what it is called with."""
    code, at = strip_preprocessor(code), 0
    while True:
        m = re.compile(r"\b(?:struct|union)\s*(\w*)\s*\{").search(code, at)
        if not m:
            return
        at = closing(code, m.end() - 1)
        name = m.group(1) or (re.match(r"}\s*(\w*)", code[at:]) or [0, ""])[1] or "?"
        body = code[m.end():at]
        yield name, code[:m.start()].count("\n") + 1, 1 if is_table(body) else fields(body)


def check_structs(t):
    """A struct owns one thing. The list names each that is too large, with its fields."""
    found = {}
    listed = {entry.split()[0]: (int(entry.split()[1]), line)
              for entry, line in known(t.text.get(KNOWN, ""), "struct").items()}
    for path, code in sorted(t.code.items()):
        for name, line, n in structs(code) if layer(path) in t.table.ROOTS else ():
            if n > FIELDS_MAX:
                found[name] = n
            if n > max(FIELDS_MAX, listed.get(name, (0, 0))[0]):
                t.add("struct", path, line, "struct %s has %d fields, at most %d"
                      % (name, n, max(FIELDS_MAX, listed.get(name, (0, 0))[0])))
    for name, (n, line) in sorted(listed.items()):
        if found.get(name, 0) < n:
            t.add("struct", KNOWN, line, "'struct %s %d' is no longer true: %s" % (
                name, n, "write instead: struct %s %d" % (name, found[name]) if name in found
                else "remove the line"))


def check_headers(t):
    """A header stands for itself: its first comment does not call it a part of another one."""
    found = {}
    for path, text in t.text.items():
        first = re.search(r"/\*.*?\*/", text, re.S) if path.endswith(".h") and layer(path) in t.table.ROOTS \
            else None
        if first and re.search(r"\bpart\s+(\*\s+)?of\s+(\*\s+)?[`\w/]+\.h\b", first.group(0), re.I):
            found[path] = path, 1, "a header that is part of another one"
    check_known(t, "header", found)


def check_banned(t):
    for path, code in sorted(t.code.items()):
        allocator_free = layer(path) in t.table.ROOTS and not path.startswith("lua/runner/") \
            and path != "core/ground/mem.c"
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
                    t.add("banned", path, i, "%s(): memory comes from mem.h" % name)


def check_const_tables(t):
    for path, code in sorted(t.code.items()):
        if layer(path) not in t.table.ROOTS:
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


CHECKS = [check_folders, check_includes, check_lua_requires, check_lengths, check_structs, check_headers,
          check_banned, check_const_tables, check_guards, check_text, check_readme, check_jobs]


def problems(root, checks=None, table=table):
    t = Tree(root, table)
    for check in checks or CHECKS:
        check(t)
    return t.problems


def main(argv):
    root = argv[0] if argv else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    found = problems(root)
    for p in found:
        print(p)
    print("%d problems" % len(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
