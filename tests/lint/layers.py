"""The folders of table.py, the place of each file in them, and the rules about who includes whom.

What is known to break a rule stands in known.txt, one line each, and a line
that is no longer true is a problem too: the list can only shrink.
"""
import os

KNOWN = "tests/lint/known.txt"
TABLE = "tests/lint/table.py"
KINDS = {"include", "symbol", "circle", "struct", "header"}  # first words of lines in known.txt


def lines_of(text):
    """(number, line) of what is neither empty nor a comment."""
    for i, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield i, line.strip()


class Layers:
    def __init__(self, table, files):
        self.table = table
        self.files = set(files)
        self.headers = {name: group for group, names in table.HEADERS.items() for name in names.split()}
        self.closures = {}

    def folder(self, path):
        """The row of the table in which a file lies, or None."""
        top = path.split("/")[0]
        for row in (path, os.path.dirname(path), top if top in self.table.TOPS else ""):
            if row in self.table.FOLDERS:
                return row
        return None

    def names(self, row):
        return self.table.FOLDERS[row][0].split()

    def sees(self, row):
        """Rows and single files that a row sees, through others too; never without the row's own names."""
        if row not in self.closures:
            seen, queue = set(), self.names(row)
            while queue:
                item = queue.pop()
                if item not in seen:
                    seen.add(item)
                    queue += self.names(item) if item in self.table.FOLDERS else []
            self.closures[row] = seen
        return self.closures[row]

    def allowed(self, path, target):
        """Whether a file may know another one."""
        row, other = self.folder(path), self.folder(target)
        seen = self.sees(row) if row else set()
        return row == other or "*" in seen or other in seen or target in seen

    def takes(self, row, header):
        groups = self.table.FOLDERS[row][1].split()
        return "*" in groups or self.headers.get(header, "os") in groups

    def from_top(self, path):
        """How an include names a file: its path without core/, backends/ or lua/."""
        top, _, rest = path.partition("/")
        return rest if top in self.table.ROOTS else path

    def resolve(self, path, name):
        """The file that an include in `path` means, from the top folder, or beside the file; or None."""
        for folder in (os.path.dirname(path),) + self.table.ROOTS + ("tests/support",):
            candidate = os.path.normpath(os.path.join(folder, name))
            if candidate in self.files:
                return candidate
        return None


def known(text, kind):
    """{line without its first word: its number} of one kind of line in known.txt."""
    return {line.split(None, 1)[1]: i for i, line in lines_of(text)
            if line.split()[0] == kind and len(line.split()) > 1}


def check_known(t, kind, found):
    """`found` is {entry: (path, line, text)}. Reports what the list does not hold, and what it holds in vain."""
    listed = known(t.text.get(KNOWN, ""), kind)
    for entry, (path, line, text) in sorted(found.items()):
        if entry not in listed:
            t.add(kind, path, line, text)
    for entry, line in sorted(listed.items()):
        if entry not in found:
            t.add(kind, KNOWN, line, "'%s %s' is no longer true: remove the line" % (kind, entry))


def check_folders(t):
    """Every C file lies in a row of the table, every row holds a file, and no list speaks of what is not there."""
    layers, table = t.layers, t.table
    rows = {layers.folder(path) for path in t.files}
    for path in sorted(t.code):
        if path.split("/")[0] in table.ROOTS and not layers.folder(path):
            t.add("folder", path, 1, "%s lies in no folder of %s" % (path, TABLE))
    for row in table.FOLDERS:
        if (row in rows) == (row in table.COMING):
            t.add("folder", TABLE, 1, "the row %s matches no file" % row if row not in rows
                  else "the row %s has files now: take it out of COMING" % row)
        for item in layers.names(row):
            if item != "*" and item not in table.FOLDERS and item not in layers.files \
                    and os.path.dirname(item) not in table.COMING:
                t.add("folder", TABLE, 1, "%s sees %s, which is no row and no file" % (row, item))
        if row in layers.sees(row):
            t.add("folder", TABLE, 1, "%s sees itself through others: arrows run in a circle" % row)
    for i, line in lines_of(t.text.get(KNOWN, "")):
        if line.split()[0] not in KINDS or len(line.split()) < 2:
            t.add("folder", KNOWN, i, "no rule reads this line: %s" % line)


def check_includes(t):
    found = {}
    for path in sorted(p for p in t.code if t.layers.folder(p)):
        inside = path.split("/")[0] in t.table.ROOTS
        for line, kind, name, target in t.includes(path):
            if target is None and kind == '"':
                if inside:
                    t.add("include", path, line, "%s: no such file in the tree" % name)
            elif target is None:
                if not t.layers.takes(t.layers.folder(path), name):
                    found["%s <%s>" % (path, name)] = path, line, \
                        "<%s>: not among the headers that %s may take" % (name, t.layers.folder(path))
            elif not t.layers.allowed(path, target):
                found[arrow(t, path, target)] = path, line, "%s: %s sees %s, not %s" % (
                    name, t.layers.folder(path), t.table.FOLDERS[t.layers.folder(path)][0] or "nothing",
                    t.layers.folder(target))
            elif inside and name != t.layers.from_top(target):
                t.add("include", path, line, '"%s": write it from the top folder, "%s"'
                      % (name, t.layers.from_top(target)))
    for path in sorted(p for p in t.code if t.layers.folder(p)):
        check_chains(t, path, found)
    check_known(t, "include", found)


def arrow(t, path, target):
    return "%s %s" % (path, target)


def check_chains(t, path, found):
    """A row may see one file of a folder only; then what that file includes counts as well."""
    seen, queue = {path}, [(path, path)]
    while queue:
        current, chain = queue.pop(0)
        for line, _, name, target in t.includes(current):
            if target is None or target in seen or not t.layers.allowed(current, target):
                continue
            seen.add(target)
            if t.layers.allowed(path, target):
                queue.append((target, "%s -> %s" % (chain, target)))
            else:
                found[arrow(t, path, target)] = path, 1, "%s reaches %s (%s), which it must not see" % (
                    t.layers.folder(path), target, chain)
