/* Whole jobs through lsio.h while the N-th allocation of LSIO fails, for every N, once or for ever:
 * each run reports an error and leaves nothing behind, or succeeds with the right output; and every
 * block comes back. LuaJIT's own memory is not part of this. */
#include <blosc.h>
#include <dirent.h>
#include <lz4frame.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec/codec.h"
#include "lsio.h"
#include "ground/mem.h"
#include "polled.h"

#define FILES 6
#define VALUES 3000 /* of each file */
#define ALLOCATIONS_MAX 20000

static char dir[64];
static float input[FILES][VALUES];

static void put_file(const char *name, const void *data, size_t length) {
  FILE *f = fopen(name, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, length, f), length);
  assert_int_equal(fclose(f), 0);
}

static int setup(void **state) {
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/lsio-alloc-XXXXXX");
  if (!mkdtemp(dir) || chdir(dir) != 0) return -1;
  FILE *list = fopen("list.csv", "w");
  assert_non_null(list);
  fputs("path,offset,length,tag\n", list);
  for (int i = 0; i < FILES; i++) {
    for (int k = 0; k < VALUES; k++) input[i][k] = (float)(i * 10000 + k);
    char name[16], frame[16384 + VALUES * sizeof(float)];
    snprintf(name, sizeof name, "%d.f32", i);
    put_file(name, input[i], sizeof input[i]);
    fprintf(list, "%s,400,%d,%d\n%s,-800,800,%d\n", name, 400 * i, i, name, -i);
    size_t n = LZ4F_compressFrame(frame, sizeof frame, input[i], sizeof input[i], NULL);
    assert_false(LZ4F_isError(n));
    snprintf(name, sizeof name, "%d.lz4", i);
    put_file(name, frame, n);
    int64_t packed = lsi_encode(LSI_CODEC_ZSTD, 0, (const char *)input[i], sizeof input[i], frame, sizeof frame);
    assert_true(packed > 0);
    snprintf(name, sizeof name, "%d.zst", i);
    put_file(name, frame, (size_t)packed);
    packed = blosc_compress(5, 1, sizeof(float), sizeof input[i], input[i], frame, sizeof frame);
    assert_true(packed > 0);
    snprintf(name, sizeof name, "%d.blosc", i);
    put_file(name, frame, (size_t)packed);
  }
  assert_int_equal(fclose(list), 0);
  return 0;
}

static int visit(const char *prefix, int remove_them) {
  int n = 0;
  DIR *d = opendir(".");
  for (struct dirent *e; (e = readdir(d));) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    if (prefix && strncmp(e->d_name, prefix, strlen(prefix)) != 0) continue;
    n++;
    if (remove_them) unlink(e->d_name);
  }
  closedir(d);
  return n;
}

static int teardown(void **state) {
  (void)state;
  visit(NULL, 1);
  return chdir("/") || rmdir(dir);
}

struct scene {
  const char *name, *script;
  uint32_t flags;
  const char *settings[4]; /* NULL ends them */
  size_t outputs;          /* files named out* that success leaves */
  size_t header;           /* bytes of the output before its elements */
  int (*expected)(float *to); /* what the first output holds; returns how many values */
  bool as_completed;          /* a step of each file: its index says where they lie */
};

struct outcome {
  int rc;           /* of the first call that failed, else of the job */
  int steps;        /* completions of results */
  char message[400];
};

static void note_error(struct outcome *o, int rc, const lsio_error *e) {
  o->rc = rc;
  if (!rc) return;
  if (!e || lsio_error_code(e) != rc) fail_msg("the call says %d, its error something else", rc);
  snprintf(o->message, sizeof o->message, "%s", lsio_error_message(e));
  assert_string_not_equal(o->message, "");
}

static void drive(lsio_job *job, struct outcome *o) {
  struct polled batch[3];
  for (bool done = false; !done;) {
    int n = polled_take(job, batch, 3, 10000);
    if (n <= 0) {
      o->rc = -1000; /* neither an end nor an error: it hangs */
      return;
    }
    for (int i = 0; i < n; i++) {
      o->steps += batch[i].kind == POLLED_STEP;
      done = done || batch[i].kind == POLLED_DONE;
    }
  }
  note_error(o, lsio_job_status(job), lsio_job_error(job));
  lsio_job_summary_json(job);
  lsio_job_summary_text(job);
  lsio_job_failures_text(job);
}

/* Everything that a program does, from its context on. */
static struct outcome whole_job(const struct scene *s) {
  struct outcome o = {0};
  size_t n = 0;
  while (n < 4 && s->settings[n]) n++;
  struct lsio_job_options options = {.struct_size = sizeof options, .script = s->script,
                                     .script_length = strlen(s->script), .script_name = "job.lua",
                                     .settings = s->settings, .n_settings = n,
                                     .flags = s->flags | LSIO_JOB_NO_ENV};
  lsio_context *context = NULL;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  int rc = lsio_context_create(NULL, &context, &error);
  if (rc == 0) {
    char *help = NULL;
    if (lsio_script_help(context, &options, &help, NULL) == 0) assert_non_null(help);
    lsio_free(help);
    rc = polled_submit(context, &options, &job, &error);
  }
  if (rc != 0) {
    note_error(&o, rc, error);
  } else {
    lsio_job_explain(job, 0);
    lsio_job_explain(job, 1);
    lsio_free(lsio_job_activity(job));
    drive(job, &o);
  }
  lsio_error_free(error);
  polled_destroy(job);
  lsio_context_destroy(context);
  return o;
}

/* Brings what should be there into the order of the output's index, in which each step must stand once. */
static void order_by_index(float *want, const char *where) {
  static float steps[FILES][VALUES];
  int64_t rows[FILES][3]; /* step, position, elements */
  unsigned char head[10];
  memcpy(steps, want, sizeof steps);
  FILE *f = fopen("out.index.npy", "rb");
  if (!f || fread(head, 1, sizeof head, f) != sizeof head ||
      fseek(f, (long)(sizeof head + head[8] + 256u * head[9]), SEEK_SET) != 0 ||
      fread(rows, 1, sizeof rows, f) != sizeof rows || fgetc(f) != EOF)
    fail_msg("%s: no index of %d rows", where, FILES);
  fclose(f);
  unsigned seen = 0;
  for (int i = 0; i < FILES; i++) {
    const int64_t step = rows[i][0];
    if (step < 0 || step >= FILES || seen & 1u << step || rows[i][1] != i * VALUES || rows[i][2] != VALUES)
      fail_msg("%s: row %d of the index is wrong", where, i);
    seen |= 1u << step;
    memcpy(want + i * VALUES, steps[step], sizeof steps[step]);
  }
}

static void check_output(const struct scene *s, const char *where) {
  static float want[FILES * VALUES];
  static char got[sizeof want + 8192];
  const size_t bytes = (size_t)s->expected(want) * sizeof *want;
  if (s->as_completed) order_by_index(want, where);
  FILE *f = fopen("out", "rb");
  if (!f) fail_msg("%s: no output", where);
  size_t length = fread(got, 1, sizeof got, f);
  fclose(f);
  if (length != s->header + bytes ||
      memcmp(got + s->header, want, bytes) != 0)
    fail_msg("%s: the output is wrong (%zu bytes)", where, length);
}

static void check_end(const struct scene *s, const struct outcome *o, const char *where) {
  if (o->rc == -1000) fail_msg("%s: the job hangs", where);
  if (o->rc) {
    if (o->rc != LSIO_ERR_NOMEM && o->rc != LSIO_ERR_LIMIT && o->rc != LSIO_ERR_IO)
      fail_msg("%s: %s: %s", where, lsio_error_name(o->rc), o->message);
    if (visit("out", 0) || visit(".out", 0))
      fail_msg("%s: files are left after: %s", where, o->message);
    return;
  }
  if (s->outputs) {
    check_output(s, where);
  } else if (o->steps != FILES) {
    fail_msg("%s: %d of %d results", where, o->steps, FILES);
  }
  if ((size_t)visit("out", 1) != s->outputs || visit(".out", 0))
    fail_msg("%s: wrong number of output files", where);
}

static void run_scene(const struct scene *s) {
  int errors = 0;
  for (int forever = 0; forever < 2; forever++) {
    for (uint64_t n = 1;; n++) {
      char where[128];
      snprintf(where, sizeof where, "%s, allocation %d%s fails", s->name, (int)n,
               forever ? " and all after it" : "");
      const int64_t live = lsi_mem_live();
      const uint64_t calls = lsi_mem_calls();
      lsi_mem_fail_nth(n, forever);
      struct outcome o = whole_job(s);
      lsi_mem_fail_nth(0, false);
      check_end(s, &o, where);
      if (lsi_mem_live() != live)
        fail_msg("%s: %d blocks are lost", where, (int)(lsi_mem_live() - live));
      errors += o.rc != 0;
      if (lsi_mem_calls() - calls < n) {
        if (o.rc) fail_msg("%s: fails although nothing was refused: %s", s->name, o.message);
        break;
      }
      if (n > ALLOCATIONS_MAX) fail_msg("%s: never ends", s->name);
    }
  }
  assert_true(errors > 40); /* else the jobs do not see what fails */
}

static int all_doubled(float *to) {
  for (int i = 0; i < FILES * VALUES; i++) to[i] = input[i / VALUES][i % VALUES] * 2;
  return FILES * VALUES;
}

static int all_plain(float *to) {
  memcpy(to, input, sizeof input);
  return FILES * VALUES;
}

static int ranges(float *to) {
  int n = 0;
  for (int i = 0; i < FILES; i++) {
    memcpy(to + n, input[i] + 100, 400u * (unsigned)i);
    n += 100 * i;
    memcpy(to + n, input[i] + VALUES - 200, 800);
    n += 200;
  }
  return n;
}

static void test_lz4_to_npy(void **state) {
  (void)state;
  const struct scene s = {
      .name = "lz4 to npy", .outputs = 1, .header = 4096, .expected = all_doubled,
      .script = "local lsio = require 'lsio'\n"
                "return lsio.job { source = lsio.files('*.lz4'), type = 'f32', codec = 'lz4',\n"
                " sink = lsio.npy('out'), params = { by = { 2, 'factor' } },\n"
                " state = 'double n;', reduce = { n = 'sum' },\n"
                " setup = function(params) return { more = { 1, 2 } } end,\n"
                " transform = function(chunk, state, params)\n"
                "  lsio.k.scale_offset(chunk.data, chunk.n, chunk.out, params.by, 0)\n"
                "  state.n = state.n + chunk.n end,\n"
                " done = function(r) assert(r.n == 18000) end }\n",
      .settings = {"workers=2", "memory=64MiB", "backend=pread"}};
  run_scene(&s);
}

static void test_raw_to_raw(void **state) {
  (void)state;
  const struct scene s = {
      .name = "raw to raw", .outputs = 1, .expected = all_plain,
      .script = "local lsio = require 'lsio'\n"
                "return lsio.job { source = lsio.files('*.f32', { chunk = '4KiB' }),\n"
                " type = 'f32', sink = lsio.raw('out') }\n",
      .settings = {"workers=2", "memory=64MiB"}};
  run_scene(&s);
}

static void test_ranges_of_a_list(void **state) {
  (void)state;
  const struct scene s = {
      .name = "ranges", .outputs = 1, .header = 4096, .expected = ranges,
      .script = "local lsio = require 'lsio'\n"
                "return lsio.job { source = lsio.ranges { file = 'list.csv' }, type = 'f32',\n"
                " sink = lsio.npy('out'), out_max = 1024, on_error = 'skip',\n"
                " transform = function(chunk)\n"
                "  for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end\n"
                "  return chunk.n end }\n",
      .settings = {"workers=1", "memory=64MiB"}};
  run_scene(&s);
}

static void test_order_of_completion_with_skips(void **state) {
  (void)state;
  const struct scene s = {
      .name = "order of completion", .outputs = 2, .header = 4096, .expected = all_plain, .as_completed = true,
      .script = "local lsio = require 'lsio'\n"
                "return lsio.job { source = lsio.files('*.zst', { whole = true }), type = 'f32',\n"
                " codec = 'zstd', on_error = 'skip', out_max = 3000,\n"
                " sink = lsio.npy('out', { order = 'completed', durability = 'none' }),\n"
                " transform = function(chunk)\n"
                "  for i = 0, chunk.n - 1 do chunk.out[i] = chunk.data[i] end\n"
                "  return chunk.n end }\n",
      .settings = {"workers=1", "memory=64MiB", "backend=pread"}};
  run_scene(&s);
}

static void test_blosc_in_place(void **state) {
  (void)state;
  const struct scene s = {
      .name = "blosc", .outputs = 1, .header = 4096, .expected = all_plain,
      .script = "local lsio = require 'lsio'\n"
                "return lsio.job { source = lsio.files('*.blosc', { whole = true }), type = 'f32',\n"
                " codec = 'blosc', decoded = 12000, fill = 0, on_error = 'skip',\n"
                " sink = lsio.npy('out', { shape = { 18000 } }) }\n",
      .settings = {"workers=2", "memory=64MiB"}};
  run_scene(&s);
}

static void test_stream(void **state) {
  (void)state;
  const struct scene s = {
      .name = "stream", .flags = LSIO_JOB_STREAM,
      .script = "local lsio = require 'lsio'\n"
                "return lsio.job { source = lsio.files('*.f32'), type = 'f32',\n"
                " transform = function(chunk) return ('%d %d'):format(chunk.index, chunk.n) end }\n",
      .settings = {"workers=2", "memory=64MiB"}};
  run_scene(&s);
}

#define ZEROS 200 /* more than are planned at once */

static int zeros(float *to) {
  memset(to, 0, ZEROS * sizeof *to);
  return ZEROS;
}

/* Which never ends: each job goes on where the last one stopped. */
static void test_standard_input(void **state) {
  (void)state;
  assert_non_null(freopen("/dev/zero", "r", stdin));
  const struct scene s = {
      .name = "standard input", .outputs = 1, .expected = zeros,
      .script = "local lsio = require 'lsio'\n"
                "return lsio.job { source = lsio.stdin { chunk = 4 }, type = 'f32', sink = lsio.raw('out') }\n",
      .settings = {"workers=2", "memory=64MiB", "limit=200"}};
  run_scene(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lz4_to_npy),
      cmocka_unit_test(test_raw_to_raw),
      cmocka_unit_test(test_ranges_of_a_list),
      cmocka_unit_test(test_order_of_completion_with_skips),
      cmocka_unit_test(test_blosc_in_place),
      cmocka_unit_test(test_stream),
      cmocka_unit_test(test_standard_input),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
