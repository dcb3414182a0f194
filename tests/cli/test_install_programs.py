"""The programs of bindings/c and bindings/cpp, built against the installed library as their READMEs say, and run;
and the public headers under the C++ compilers that are here."""
import array
import glob
import os
import shutil
import tempfile
import unittest

from install_support import ROOT, Installed, execute, run

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
PROGRAMS = ("first_job", "plain_read", "stream_blocks", "c_transform")
PART = 16384  # floats of a chunk of 64 KiB

# Every name of lsio.hpp, in use.
USES = r"""
#include <lsio.hpp>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <type_traits>
#undef NDEBUG
#include <cassert>

template <class T>
constexpr bool is_handle = std::is_nothrow_destructible_v<T> && std::is_nothrow_move_constructible_v<T> &&
                           std::is_nothrow_move_assignable_v<T> && !std::is_copy_constructible_v<T>;
static_assert(is_handle<lsio::context> && is_handle<lsio::queue> && is_handle<lsio::job> && is_handle<lsio::block>);
static_assert(is_handle<lsio::value> && is_handle<lsio::script> && is_handle<lsio::request>);
static_assert(std::is_nothrow_copy_constructible_v<lsio::error> && std::is_nothrow_destructible_v<lsio::batch>);

template <class F>
static lsio::error fails(F f) {
  try {
    f();
  } catch (const lsio::error &e) {
    return e;
  }
  assert(!"nothing was thrown");
  return lsio::error(0, nullptr);
}

static void values() {
  std::vector<double> numbers = {1, 2, 3, 4, 5, 6};
  const double *data = numbers.data();
  auto owner = std::make_shared<int>(1);
  std::weak_ptr<int> alive = owner;
  {
    std::vector<lsio::value> items;
    items.push_back(lsio::value::of(true));
    items.push_back(lsio::value::of(-7));
    items.push_back(lsio::value::of(UINT64_MAX));
    items.push_back(lsio::value::of(0.5));
    items.push_back(lsio::value::of("text"));
    items.push_back(lsio::value());
    items.push_back(lsio::value::array(data, "f64", {2, 3}, std::move(owner)));
    std::vector<lsio::value> named;
    named.push_back(lsio::value::list(std::move(items)));
    const lsio::value map = lsio::value::record({"list"}, std::move(named));
    const lsio::value list = map.find("list"), other = list.share();
    const lsio_value_view v = other.view();
    assert(v.kind == LSIO_VALUE_LIST && v.n == 7);
    const auto at = [&](int i) { return lsio::value(lsio_value_retain(v.items[i])); };
    assert(at(1).as_int() == -7 && at(2).as_uint() == UINT64_MAX && at(3).as_double() == 0.5);
    assert(std::strcmp(static_cast<const char *>(at(4).view().data), "text") == 0);
    assert(at(6).view().data == data && at(6).view().shape[1] == 3 && !alive.expired());
    assert(fails([&] { at(2).as_int(); }).code() == LSIO_ERR_USAGE);
    assert(fails([&] { map.find("absent"); }).code() == LSIO_ERR_USAGE);
    assert(fails([&] { lsio::value::record({"a", "b"}, {}); }).code() == LSIO_ERR_USAGE);
  }
  assert(alive.expired());
  assert(fails([&] { lsio::value::array(data, "f65", {6}, 0); }).kind() == LSIO_KIND_USAGE);
}

int main(int, char **argv) {
  values();
  std::atomic<int> rung{0};
  const lsio::context context;
  const lsio::queue queue = lsio::queue::notifying(context, [&] { rung++; });
  assert(queue.fd() >= 0 && queue.take(0).empty());

  const lsio::error wrong = fails([&] { context.load("return 1 +", "wrong.lua"); });
  assert(wrong.code() == LSIO_ERR_SCRIPT && wrong.kind() == LSIO_KIND_SCRIPT && !wrong.is_retryable());
  assert(wrong.file() == std::string("wrong.lua") && wrong.line() == 1 && lsio_error_code(wrong.get()) == wrong.code());

  const lsio::script script = context.load(
      "local lsio = require 'lsio' return lsio.job { source = function(p) return lsio.files(p[1]) end, type = 'f32',"
      " params = { by = 1.0 }, state = 'double n;', reduce = { n = 'sum' },"
      " transform = function(c, s, p) s.n = s.n + c.n * p.by end }");
  const char *objects[] = {argv[1]};
  std::vector<lsio::value> by;
  by.push_back(lsio::value::of(2.0));
  const lsio::value params = lsio::value::record({"by"}, std::move(by));
  auto options = lsio::make<lsio_job_options>();
  options.loaded = script.get();
  options.args = objects;
  options.n_args = 1;
  options.params = params.get();
  options.flags = LSIO_JOB_STATE_VALUE;
  for (int i = 0; i < 2; i++) {
    const lsio::job counts = queue.submit(options);
    queue.until_done(counts, [](const lsio::event &) {});
    assert(counts.state().find("n").as_double() == 200000);
  }
  const lsio::job alone = context.submit(options);
  while (!alone.wait(1)) {
  }
  assert(alone.wait() && alone.state().find("n").as_double() == 200000);
  options.flags = LSIO_JOB_STREAM;
  assert(fails([&] { context.submit(options); }).code() == LSIO_ERR_USAGE);

  const std::uint32_t object[] = {0, 0, 0};
  const std::int64_t offset[] = {0, 4000, -4}, length[] = {8, 4, 4}, tag[] = {10, 11, 12};
  auto ranges = lsio::make<lsio_request_options>();
  ranges.objects = objects;
  ranges.n_objects = 1;
  ranges.n = 3;
  ranges.object = object;
  ranges.offset = offset;
  ranges.length = length;
  ranges.tag = tag;
  const lsio::request request(ranges);
  options = lsio::make<lsio_job_options>();
  options.request = request.get();
  options.flags = LSIO_JOB_STREAM;
  options.cookie = &options;
  lsio::job first = queue.submit(options), job = std::move(first);
  const lsio::job same = job.share();
  float sum = 0;
  int results = 0;
  std::vector<lsio::block> kept;
  queue.until_done(job, [&](const lsio::event &e) {
    assert(e.kind() == LSIO_EVENT_RESULTS && e.job() == job.get() && e.cookie() == &options && !e.failure());
    kept.push_back(e.hold());
    kept.push_back(kept.back().share());
    for (const lsio::result r : e.results()) {
      const auto v = r.as<float>();
      assert(r.tag() == 10 + static_cast<int>(r.step()) && !r.is_record() && r.text().size() == v.size() * 4);
      assert(r.is_aligned() == (reinterpret_cast<std::uintptr_t>(v.data()) % 64 == 0));
      for (const float x : v) sum += x;
      results++;
    }
  });
  assert(same.status() == 0 && same.progress().steps == 3 && same.summary().find("\"done\"") != std::string::npos);
  assert(rung > 0);
  std::printf("%d results, sum %g\n", results, double{sum});

  options.request = nullptr;
  const lsio::job text = queue.submit(
      "local lsio = require 'lsio' return lsio.job { source = lsio.files('absent.f32'), type = 'f32',"
      " transform = function() return 'x' end }", options);
  const lsio::error absent = fails([&] { queue.until_done(text, [](const lsio::event &) {}); });
  assert(absent.kind() == LSIO_KIND_NOT_FOUND && std::strstr(absent.what(), "absent.f32"));
  text.cancel();
}
"""


def strict_cxx():
    """(compiler, standard) for all that are here."""
    found = []
    for compiler in ("g++", "clang++"):
        for standard in ("c++17", "c++20") if shutil.which(compiler) else ():
            with tempfile.TemporaryDirectory() as folder:
                source = os.path.join(folder, "a.cpp")
                with open(source, "w") as f:
                    f.write("#include <vector>\n%sint main() {}\n" % ("#include <span>\n" if standard == "c++20" else ""))
                if execute(compiler, "-std=" + standard, "-fsyntax-only", source).returncode == 0:
                    found.append((compiler, standard))
    return found


class Programs(Installed):
    def fails(self, code, *command, env=None):
        result = execute(*command, env=env)
        self.assertEqual((code, ""), (result.returncode, result.stdout), result.stderr)
        return result.stderr

    def recording(self):
        """Parts of multiples of 1/8, so that sums are exact; the fifth is the loudest, its later twin not taken."""
        parts = [array.array("f", [((i * (p + 3)) % 33 - 16) / (16 * (9 - min(p, 8))) for i in range(PART)])
                 for p in range(7)]
        parts[4] = array.array("f", [-2.0, 1.5] + [0.875] * (PART - 2))
        parts.append(parts[4])
        path = os.path.join(self.folder, "recording.f32")
        with open(path, "wb") as f:
            for part in parts:
                part.tofile(f)
        return path, "chunk 4, from -1 on: %.2f\n" % (2 + (PART - 2) * 0.875 ** 2)

    def check_first_job(self, program, env):
        self.assertEqual("49900 of 100000\n", run(program, self.data, env=env).stdout)
        self.assertEqual("24900 of 100000\n", run(program, self.data, "0.75", env=env).stdout)

    def check_plain_read(self, program, env):
        with open(self.data, "rb") as f:
            data = f.read()
        out = run(program, self.data, "0:1000", "-5:5", "399000:1000", "7:0", "3:70001", env=env, text=False).stdout
        self.assertEqual(data[:1000] + data[-5:] + data[399000:400000] + data[3:70004], out)
        self.assertEqual(b"", run(program, self.data, env=env, text=False).stdout)
        self.assertIn("400000", self.fails(1, program, self.data, "399999:2", env=env))
        for wrong in ("7", "7:", "a:1", "0:-1", "0:1x", "0:9999999999999"):
            self.assertIn("'%s' is no range" % wrong, self.fails(2, program, self.data, wrong, env=env))
        self.assertIn("FILE OFFSET:LENGTH", self.fails(2, program, env=env))

    def check_stream_blocks(self, program, env):
        path, loudest = self.recording()
        self.assertEqual(loudest, run(program, path, env=env).stdout)

    def check_c_transform(self, program, env):
        values = array.array("f", [(i * 7919) % 65521 for i in range(200000)])
        path = os.path.join(self.folder, "peaks.f32")
        for at in (123456, 70000, 150000):  # the first of equal ones, whichever worker has it
            values[at] = 1e6
        with open(path, "wb") as f:
            values.tofile(f)
        self.assertEqual("1e+06 at 70000\n", run(program, path, env=env).stdout)
        values[199999] = float("nan")
        with open(path, "wb") as f:
            values.tofile(f)
        message = self.fails(1, program, path, env=env)
        self.assertIn("element 199999 is no number", message)
        self.assertIn("peaks.f32", message)

    def check_all(self, folder, env=None):
        gone = os.path.join(self.folder, "gone.f32")
        for name in PROGRAMS:
            program = os.path.join(folder, name)
            getattr(self, "check_" + name)(program, env)
            more = ["0:1"] if name == "plain_read" else []
            self.assertIn("gone.f32", self.fails(1, program, gone, *more, env=env))

    def test_are_short(self):
        paths = glob.glob(os.path.join(ROOT, "bindings", "*", "*.c")) + glob.glob(
            os.path.join(ROOT, "bindings", "*", "*.cpp"))
        self.assertEqual(set(PROGRAMS) | {"stream"}, {os.path.basename(p).split(".")[0] for p in paths})
        for path in paths:
            with open(path) as f:
                self.assertLessEqual(len(f.readlines()), 60, path)

    def test_make(self):
        for options, env in (([], dict(os.environ, LD_LIBRARY_PATH=self.libraries)), (["STATIC=1"], None)):
            folder = self.copied("c")
            run("make", "-s", "CFLAGS=-O2 " + " ".join(STRICT), *options, cwd=folder, env=self.env)
            self.check_all(folder, env)
            run("make", "-s", "clean", cwd=folder)
            self.assertEqual([], [name for name in PROGRAMS if os.path.exists(os.path.join(folder, name))])

    def test_cmake(self):
        for static in ("OFF", "ON"):
            build = self.configure(self.copied("c"), self.prefix, "-DSTATIC=" + static,
                                   "-DCMAKE_C_FLAGS=" + " ".join(STRICT))
            run("ninja", "-C", build)
            self.check_all(build)

    def need_cxx(self, standard=""):
        found = [x for x in strict_cxx() if x[1] >= standard]
        if not found:
            self.skipTest("there is no g++ or clang++ here with %s" % (standard or "C++17"))
        return found

    def test_stream_in_cxx(self):
        path, loudest = self.recording()
        gone = os.path.join(self.folder, "gone.f32")
        for compiler, standard in self.need_cxx("c++20"):
            folder = self.copied("cpp")
            build = self.configure(folder, self.prefix, "-DCMAKE_CXX_COMPILER=" + compiler,
                                   "-DCMAKE_CXX_FLAGS=" + " ".join(STRICT))
            run("ninja", "-C", build)
            program = os.path.join(folder, "by pkg-config")
            flags = run("pkg-config", "--cflags", "--libs", "lsio", env=self.env).stdout.split()
            run(compiler, "-std=" + standard, *STRICT, os.path.join(folder, "stream.cpp"), *flags, "-o", program)
            for program, env in ((program, dict(os.environ, LD_LIBRARY_PATH=self.libraries)),
                                 (os.path.join(build, "stream"), None)):
                out = run(program, path, env=env).stdout
                self.assertTrue(out.startswith(loudest + loudest.replace("4", "7", 1)), out)
                self.assertEqual(3, out.count("\n"))
                self.assertIn("gone.f32", self.fails(1, program, gone, env=env))

    def test_headers_in_cxx(self):
        include = os.path.dirname(self.find("lsio.hpp"))
        chapters = [os.path.relpath(p, include) for p in glob.glob(os.path.join(include, "lsio", "*.h"))]
        self.assertGreater(len(chapters), 5)
        for compiler, standard in self.need_cxx():
            for header in ["lsio.h", "lsio.hpp", *chapters]:
                source = os.path.join(self.folder, "header.cpp")
                with open(source, "w") as f:
                    f.write("#include <%s>\n#include <%s>\nint main() {}\n" % (header, header))
                run(compiler, "-std=" + standard, *STRICT, "-Wconversion", "-Wshadow", "-Wold-style-cast",
                    "-I" + include, "-fsyntax-only", source)

    def test_every_name_of_the_cxx_header(self):
        source = os.path.join(self.folder, "uses.cpp")
        with open(source, "w") as f:
            f.write(USES)
        flags = run("pkg-config", "--cflags", "--libs", "lsio", env=self.env).stdout.split()
        env = dict(os.environ, LD_LIBRARY_PATH=self.libraries)
        for compiler, standard in self.need_cxx():
            program = os.path.join(self.folder, "uses")
            run(compiler, "-std=" + standard, *STRICT, source, *flags, "-o", program)
            self.assertEqual("3 results, sum %g\n" % (0 + 0.001 + 0 + 0.999), run(program, self.data, env=env).stdout)


if __name__ == "__main__":
    unittest.main()
