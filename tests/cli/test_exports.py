"""The functions that programs may link: core/lsio.symbols names them, the headers declare them, liblsio.so
exports them, each under its ABI's version, and nothing else. Who adds a function to a header runs

    python3 tests/cli/test_exports.py --update

which writes core/lsio.symbols anew from the headers (also after a conflict in it), and commits both. A name
that goes, or whose parameters change, breaks programs: CHANGELOG.md says so."""
import glob
import os
import re
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOT = os.environ.get("LSIO_SOURCE_DIR") or HERE
BUILD = os.environ.get("LSIO_BUILD_DIR") or os.path.join(ROOT, "build")
UPDATE = "python3 tests/cli/test_exports.py --update"
HEAD = "# What liblsio.so exports, sorted; written from the headers by: %s\n" % UPDATE


def statements(text):
    """What stands at file scope, one statement each, with the insides of braces left out."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", " ", text, flags=re.M)
    text = re.sub(r"\bLSIO_(?:BEGIN|END)\b|__attribute__ ?\(\((?:[^()]|\([^()]*\))*\)\)", " ", text)
    while "{" in text:
        shorter = re.sub(r"\{[^{}]*\}", lambda m: ";" if "(" in before(m) else " ", text)
        if shorter == text:
            raise ValueError("a brace is open: " + text[text.index("{"):][:60])
        text = shorter
    return [" ".join(s.split()) for s in text.split(";") if s.strip()]


def before(match):
    """The statement so far, to know a function's body from a struct's."""
    return re.split(r"[;{}]", match.string[:match.start()])[-1]


def declared(text):
    """(functions with LSIO_API, functions without that are not static inline) of a header."""
    public, hidden = set(), set()
    for statement in statements(text):
        name = re.match(r"[^(]*?\b(lsio_\w+) ?\(", statement)
        if not name or re.match(r"(typedef|static inline)\b", statement):
            continue
        (public if statement.startswith("LSIO_API ") else hidden).add(name.group(1))
    return public, hidden


def headers(root):
    public, hidden = set(), set()
    for path in glob.glob(os.path.join(root, "core", "lsio", "*.h")) + [os.path.join(root, "core", "lsio.h")]:
        with open(path) as f:
            more, less = declared(f.read())
        public |= more
        hidden |= less
    return public, hidden


def listed(root):
    with open(os.path.join(root, "core", "lsio.symbols")) as f:
        return [line.strip() for line in f if not line.startswith("#")]


def nm(*options):
    """[(name, type)] of what a library defines."""
    out = subprocess.run(["nm", "--defined-only", *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         check=True, text=True, timeout=60).stdout
    return [(words[-1], words[-2]) for words in map(str.split, out.splitlines()) if len(words) >= 2]


def update():
    old = {name for name in listed(HERE) if name.startswith("lsio_")}  # not the marks of a conflict
    new = headers(HERE)[0]
    with open(os.path.join(HERE, "core", "lsio.symbols"), "w") as f:
        f.write(HEAD + "".join(name + "\n" for name in sorted(new)))
    for sign, names in (("+", new - old), ("-", old - new)):
        for name in sorted(names):
            print(sign, name)


class Exports(unittest.TestCase):
    def none(self, names, message):
        if names:
            self.fail("%s:\n  %s" % (message, "\n  ".join(sorted(names))))

    def test_list_is_what_the_headers_declare(self):
        public, hidden = headers(ROOT)
        self.assertGreater(len(public), 20)
        self.none(hidden, "declared in core/lsio/ without LSIO_API, so that no program can link it")
        names = listed(ROOT)
        self.none(public - set(names), "new in core/lsio/, not yet in core/lsio.symbols: run " + UPDATE)
        self.none(set(names) - public, "in core/lsio.symbols, but no header declares it any more, which breaks "
                                       "programs; where that is meant, say so in CHANGELOG.md and run " + UPDATE)
        self.assertEqual(sorted(set(names)), names, "core/lsio.symbols is not sorted: run " + UPDATE)

    def test_library_exports_what_the_headers_declare(self):
        library = os.path.join(BUILD, "liblsio.so")
        symbols = [symbol for symbol in nm("-D", library) if symbol[1] != "A"]  # A: the versions' own names
        names, public = {re.split("@+", name)[0] for name, _ in symbols}, headers(ROOT)[0]
        self.none(public - names, "declared with LSIO_API, but not in %s: defined nowhere, in a file that does not "
                                  "include lsio.h, or the build is older than the headers" % library)
        self.none(names - public, "exported by %s, but no header of core/lsio/ declares it" % library)
        self.none([name for name, kind in symbols if kind != "T"], "exported, but no function")
        with open(os.path.join(ROOT, "CMakeLists.txt")) as f:
            abi = re.search(r"project\(lsio VERSION (0\.\d+|\d+)", f.read()).group(1)
        self.none([name for name, _ in symbols if not name.endswith("@@LSIO_" + abi)],
                  "exported without the version LSIO_%s: where two LSIOs are in one process they would mix" % abi)

    def test_archive_defines_names_of_lsio_only(self):
        self.none({name for name, _ in nm("-g", os.path.join(BUILD, "liblsio.a")) if not re.match("lsio?_", name)},
                  "global in liblsio.a, where a program may have the same name")

    def test_parser(self):
        public, hidden = declared("""
#define LSIO_X(a) \\
  lsio_macro(a)
/* LSIO_API int lsio_comment(void); */
typedef struct lsio_a lsio_a;
typedef int (*lsio_fn)(void *user);
typedef int lsio_type(int);
struct lsio_b { int (*call)(struct { int x; } *); const char *lsio_member; };
enum { LSIO_ONE = (1) };
LSIO_BEGIN
LSIO_API const struct lsio_b *
lsio_long(int (*f)(void),
          lsio_a *lsio_argument(int));
LSIO_API __attribute__((format(printf, 1, 2))) void lsio_short (const char *, ...);
static inline int lsio_inline(void) { if (lsio_short()) { return 1; } return 0; }
int lsio_forgotten(int a);
LSIO_END
""")
        self.assertEqual({"lsio_long", "lsio_short"}, public)
        self.assertEqual({"lsio_forgotten"}, hidden)


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        update()
    else:
        unittest.main()
