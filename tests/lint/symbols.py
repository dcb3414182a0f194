"""Who needs whom, as the linker sees it: an arrow runs from an object file to the one that defines a symbol
which it uses (nm). test_symbols.py fails on files that need each other and on arrows against table.py.

    python3 tests/lint/symbols.py [BUILD]   print every circle, with the symbols that close it, and every
                                            arrow that runs back
"""
import glob
import os
import re
import subprocess
import sys

from layers import lines_of

DEFINED = set("ABCDGRSTVW")  # nm's letters; V and W are weak definitions, v and w are not there
SOURCE = re.compile(r"^.*?\.dir/(.*\.c)\.(?:o|obj)$")


def parse(text):
    """{object file: (symbols it defines, symbols it needs)} from the output of nm -P -g."""
    out, current = {}, None
    for line in text.splitlines():
        words = line.split()
        if line.endswith(":") and len(words) == 1:
            current = out.setdefault(line[:-1], (set(), set()))
        elif len(words) >= 2 and current:
            current[0 if words[1] in DEFINED else 1].add(words[0])
    return out


def objects(build, sources):
    """{source: its object files}; objects of files that are no longer there are left out."""
    out = {}
    pattern = os.path.join(build, "CMakeFiles", "*.dir", "**", "*.c.o*")
    for path in sorted(glob.glob(pattern, recursive=True)):
        source = SOURCE.match(os.path.relpath(path, os.path.join(build, "CMakeFiles")))
        if source and source.group(1) in sources:
            out.setdefault(source.group(1), []).append(path)
    return out


def symbols(files):
    """{source: (defines, needs)}; a source that is compiled several times counts as one."""
    every = sorted(path for paths in files.values() for path in paths)
    if not every:
        return {}
    # /dev/null: with two files nm always says which one it speaks of.
    run = subprocess.run(["nm", "-P", "-g", "/dev/null"] + every, stdout=subprocess.PIPE, text=True,
                         stderr=subprocess.DEVNULL)
    parsed = parse(run.stdout)
    return {source: tuple(set().union(*(parsed[p][side] for p in paths if p in parsed)) for side in (0, 1))
            for source, paths in files.items()}


def graph(table):
    """{file: {file: symbols}} of {file: (defines, needs)}."""
    owner = {symbol: source for source, (defines, _) in table.items() for symbol in defines}
    out = {source: {} for source in table}
    for source, (defines, needs) in table.items():
        for symbol in needs - defines:
            if symbol in owner:
                out[source].setdefault(owner[symbol], set()).add(symbol)
    return out


def circles(arrows):
    """Sets of two and more that all reach each other: Tarjan's strongly connected components."""
    index, low, stack, out = {}, {}, [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in arrows[v]:
            if w not in index:
                visit(w)
            if w in stack:
                low[v] = min(low[v], low[w])
        if low[v] == index[v]:
            circle = set(stack[stack.index(v):])
            del stack[stack.index(v):]
            if len(circle) > 1:
                out.append(circle)

    for v in sorted(arrows):
        if v not in index:
            visit(v)
    return out


def names(sources):
    """{source: its base name}, or its path without .c where two have the same name."""
    bases = [os.path.basename(s) for s in sources]
    return {s: (os.path.basename(s) if bases.count(os.path.basename(s)) == 1 else s)[:-len(".c")]
            for s in sources}


def as_line(circle):
    return "circle " + " ".join(sorted(circle))


def compare(found, listed):
    """What is wrong, in words, with circles (sets of names) held against the list of known ones."""
    out = []
    for circle in found:
        if circle not in listed and not any(circle < old for old in listed):
            out.append("files that need each other: " + " ".join(sorted(circle)))
    for old in listed:
        if old not in found:
            rest = [as_line(c) for c in found if c < old]
            out.append("known.txt: '%s' is no longer true: %s" % (
                as_line(old), "write instead: " + "; ".join(rest) if rest else "remove the line"))
    return sorted(out)


def back_arrows(arrows, layers, declared):
    """{"file file": symbols} against the table. `declared` says which header of a seam declares a symbol."""
    out = {}
    for source in arrows:
        for target, used in arrows[source].items():
            if layers.allowed(source, target) or layers.allowed(source, target[:-2] + ".h"):
                continue
            bad = {s for s in used if not (s in declared and layers.allowed(source, declared[s]))}
            if bad:
                out["%s %s" % (source, target)] = bad
    return out


def declarations(t):
    """{symbol: header} of what the headers of table.SEAMS declare."""
    out = {}
    for path, code in t.code.items():
        if path.endswith(".h") and t.layers.folder(path) in t.table.SEAMS:
            out.update((word, path) for word in re.findall(r"\b\w*lsio?_\w+", code))
    return out


class Linked:
    """The tree t as it was built in a folder; all paths are those that files will have after the move."""

    def __init__(self, t, build):
        self.sources = {p for p in t.code if p.endswith(".c") and p.split("/")[0] in t.table.ROOTS}
        self.files = objects(build, self.sources)
        self.symbols = symbols(self.files)
        self.arrows = graph(self.symbols)
        self.circles = circles(self.arrows)
        self.back = back_arrows(self.arrows, t.layers, declarations(t))

    def missing(self):
        """Sources without an object; of backends only what this system has is built."""
        return sorted(s for s in self.sources - set(self.files) if not s.startswith("backends/"))

    def empty(self):
        """Sources whose objects show no symbols at all."""
        return [source for source, (defines, needs) in self.symbols.items() if not defines | needs]

    def named_circles(self):
        name = names(self.arrows)
        return [{name[s] for s in circle} for circle in self.circles]


def main(argv):
    import lint
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    t = lint.Tree(root)
    linked = Linked(t, argv[0] if argv else os.environ.get("LSIO_BUILD_DIR", root + "/build-test"))
    name = names(linked.arrows)
    print("%d objects" % sum(map(len, linked.files.values())))
    for circle in linked.circles:
        print(as_line({name[s] for s in circle}))
        for a in sorted(circle):
            for b in sorted(circle & set(linked.arrows[a])):
                print("    %s -> %s: %s" % (name[a], name[b], " ".join(sorted(linked.arrows[a][b]))))
    for arrow, used in sorted(linked.back.items()):
        print("symbol %s\n    %s" % (arrow, " ".join(sorted(used))))


if __name__ == "__main__":
    main(sys.argv[1:])
