#include "path_jobs.h"

#include <blosc.h>
#include <dirent.h>
#include <lz4frame.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec/codec.h"
#include "polled.h"

#define FILES 3
#define VALUES 49152u /* of each: 192 KiB, three blocks or more of each codec */
#define TOTAL (FILES * VALUES)
#define CHUNK 65536u
#define BYTES (TOTAL * sizeof(float))
#define MANY 1030u /* enough for their sizes to be learnt late */
#define MANY_VALUES 16u
#define LARGE_FILE 517u
#define LARGE_VALUES 1400000u /* more than a worker has room for */
#define LARGE_TOTAL 10485760u /* so large that memory is populated ahead, and mapping is compared */
#define EDGE 4096u /* bytes around the caller's array */
#define QUIET 0xee
#define GIVEN 0x77 /* what it is filled with when it is given back, before whatever else touches it */

#define RAW "lsio.files('*.f32', { chunk = '64KiB' }), type = 'f32'"
#define LZ4 "lsio.files('*.lz4', { whole = true }), type = 'f32', codec = 'lz4'"
#define ZSTD "lsio.files('*.zst', { whole = true }), type = 'f32', codec = 'zstd'"
#define BLOSC "lsio.files('*.blosc', { whole = true }), type = 'f32', codec = 'blosc'"
#define GZIP "lsio.files('*.gz', { whole = true }), type = 'f32', codec = 'gzip'"
#define SOME "lsio.files({ 'none.f32', '*.f32' }, { chunk = '64KiB', missing = 'fill' }), type = 'f32'"
#define LATE "lsio.files('many/*', { whole = true }), type = 'f32'"
#define LARGE "lsio.files('large.bin', { chunk = '256KiB' }), type = 'f32'"
#define WHOLE "lsio.files('large.bin', { whole = true }), type = 'f32'"
#define PACKED(codec) "lsio.files('large.by-" codec "', { whole = true }), type = 'f32', codec = '" codec "'"
#define LARGE_SUMS "piece = '64KiB', " SUMS("10485760 * 10485759 / 2", "10485760")
#define SHAPED "decoded = 196608, "
#define SHAPE "shape = { 147456 }"
#define BY(factor) "transform = function(c) lsio.k.scale_offset(c.data, c.n, c.out, " factor ", 0) end"
#define COUNTED(factor) \
  "transform = function(c) lsio.k.scale_offset(c.data, c.n, c.out, " factor ", 0) return c.n end"
#define SUMS(total, n)                                                                     \
  "state = 'double sum, n;', reduce = { sum = 'sum', n = 'sum' },\n"                       \
  "transform = function(c, s) s.sum = s.sum + lsio.k.sum(c.data, c.n) s.n = s.n + c.n end,\n" \
  "done = function(r) assert(r.sum == " total " and r.n == " n ", 'the sum is wrong') end"
#define ALL_SUMS SUMS("147456 * 147455 / 2", "147456")

const struct path_kind path_kinds[] = {
    {"mapped to raw", PATH_FILE, .mapped = true, .sigbus = true, .factor = 2, .source = RAW,
     .keys = "sink = lsio.raw('out', { durability = 'none' }), " BY("2"), .settings = {"direct=always"}},
    {"mapped, skipped", PATH_FILE, .mapped = true, .sigbus = true, .factor = 3, .skips = true, .source = RAW,
     .keys = "sink = lsio.raw('out', { durability = 'none' }), on_error = 'skip', fill = -1, " BY("3")},
    {"mapped and summed", PATH_STATE, .mapped = true, .sigbus = true, .source = RAW, .keys = ALL_SUMS},
    {"summed, some missing", PATH_STATE, .source = SOME, .keys = ALL_SUMS},
    {"skipped, some missing", PATH_FILE, .factor = 1, .skips = true, .source = SOME,
     .keys = "on_error = 'skip', fill = -1, sink = lsio.raw('out')"},
    {"mapped stream", PATH_STREAM, .mapped = true, .sigbus = true, .factor = 3, .source = RAW,
     .keys = "out_max = 16384, " COUNTED("3")},
    {"mapped lz4", PATH_MEMORY, .mapped = true, .sigbus = true, .factor = 1, .source = LZ4,
     .keys = SHAPED "sink = lsio.memory { " SHAPE " }"},
    {"resident stream", PATH_STREAM, .sigbus = true, .factor = 5, .source = RAW,
     .keys = "out_max = 16384, " COUNTED("5")},
    {"resident to an array", PATH_ARRAY, .sigbus = true, .factor = 1, .source = RAW, .keys = ""},
    {"lz4 by pieces", PATH_STATE, .source = LZ4, .keys = "piece = '64KiB', " ALL_SUMS},
    {"zstd by pieces", PATH_MEMORY, .factor = 4, .source = ZSTD,
     .keys = SHAPED "piece = '32KiB', sink = lsio.memory { " SHAPE " }, " BY("4")},
    {"blosc by pieces", PATH_ARRAY, .factor = 6, .source = BLOSC,
     .keys = SHAPED "piece = '64KiB', sink = lsio.memory { " SHAPE " }, " BY("6")},
    {"blosc by pieces, joined", PATH_MEMORY, .factor = 7, .source = BLOSC,
     .keys = "piece = '64KiB', out_max = 49152, sink = lsio.memory(), " COUNTED("7")},
    {"lz4 by pieces to a stream", PATH_STREAM, .factor = 8, .source = LZ4, .skips = true,
     .keys = "piece = '64KiB', on_error = 'skip', out_max = 49152, " COUNTED("8")},
    {"gzip by pieces", PATH_MEMORY, .factor = 2, .source = GZIP,
     .keys = SHAPED "piece = '32KiB', sink = lsio.memory { " SHAPE " }, " BY("2")},
    {"blosc in place", PATH_MEMORY, .factor = 1, .source = BLOSC,
     .keys = SHAPED "sink = lsio.memory { " SHAPE " }"},
    {"zero copy", PATH_MEMORY, .factor = 1, .source = RAW, .keys = "sink = lsio.memory()",
     .settings = {"direct=always"}},
    {"zero copy to an array", PATH_ARRAY, .factor = 1, .source = RAW, .keys = "on_error = 'skip', fill = -1",
     .skips = true, .settings = {"direct=always"}},
    {"transformed into an array", PATH_ARRAY, .factor = 9, .source = RAW, .keys = "sink = lsio.memory(), " BY("9"),
     .settings = {"direct=never"}},
    {"late stream", PATH_STREAM, .factor = 1, .source = LATE, .many = true, .keys = "",
     .settings = {"memory=32MiB"}},
    {"late and summed", PATH_STATE, .source = LATE, .many = true,
     .keys = SUMS("1029 * 16 + 1400000", "1029 * 16 + 1400000"), .settings = {"memory=16MiB"}},
    {"large, resident", PATH_STATE, .sigbus = true, .large = true, .source = LARGE,
     .keys = SUMS("10485760 * 10485759 / 2", "10485760")},
    {"large, populated", PATH_MEMORY, .large = true, .factor = 1, .source = LARGE,
     .keys = "sink = lsio.memory(), " BY("1"), .settings = {"direct=always", "memory=16MiB"}},
    {"streamed", PATH_STATE, .large = true, .source = WHOLE,
     .keys = LARGE_SUMS, .settings = {"memory=4MiB"}},
    {"streamed, mapped", PATH_STATE, .large = true, .mapped = true, .sigbus = true, .source = WHOLE,
     .keys = LARGE_SUMS, .settings = {"memory=4MiB"}},
    {"streamed lz4", PATH_STATE, .large = true, .source = PACKED("lz4"), .keys = LARGE_SUMS,
     .settings = {"memory=24MiB"}},
    {"streamed zstd", PATH_STATE, .large = true, .source = PACKED("zstd"), .keys = LARGE_SUMS,
     .settings = {"memory=24MiB"}},
    {"streamed gzip", PATH_STATE, .large = true, .source = PACKED("gzip"), .keys = LARGE_SUMS,
     .settings = {"memory=24MiB"}},
    {"streamed blosc", PATH_STATE, .large = true, .source = PACKED("blosc"), .keys = LARGE_SUMS,
     .settings = {"memory=6MiB"}},
    {"streamed and told by its bytes", PATH_STATE, .large = true, .keys = LARGE_SUMS,
     .source = "lsio.files('large.by-gzip', { whole = true }), type = 'f32', codec = 'auto'",
     .settings = {"memory=24MiB"}},
    {"streamed into memory", PATH_MEMORY, .large = true, .factor = 1, .source = WHOLE,
     .keys = "piece = '256KiB', sink = lsio.memory(), " BY("1"), .settings = {"direct=always"}},
    {"stream as stored", PATH_STREAM, .factor = 1, .source = RAW, .keys = "", .settings = {"direct=always"}},
};
const int path_n_kinds = sizeof path_kinds / sizeof *path_kinds;

static char dir[64];
static float values[FILES][VALUES], ones[LARGE_VALUES];
static unsigned char *array; /* of the caller's, with edges */
static float given[TOTAL];   /* what it held when it was given back */
static atomic_int releases;

/* ---- files ---- */

static bool put(const char *name, const void *data, size_t bytes) {
  FILE *f = fopen(name, "wb");
  if (!f) return false;
  const bool good = fwrite(data, 1, bytes, f) == bytes;
  return fclose(f) == 0 && good;
}

static bool put_frames(int i, char *frame, size_t room) {
  char name[32];
  const LZ4F_preferences_t blocks = {.frameInfo = {.blockSizeID = LZ4F_max64KB}};
  size_t n = LZ4F_compressFrame(frame, room, values[i], sizeof values[i], &blocks);
  snprintf(name, sizeof name, "%d.lz4", i);
  if (LZ4F_isError(n) || !put(name, frame, n)) return false;
  static const struct {
    enum lsi_codec codec;
    const char *suffix;
  } others[] = {{LSI_CODEC_ZSTD, "zst"}, {LSI_CODEC_GZIP, "gz"}};
  for (size_t k = 0; k < LSI_COUNTOF(others); k++) {
    const int64_t packed = lsi_encode(others[k].codec, 0, (const char *)values[i], sizeof values[i], frame, room);
    snprintf(name, sizeof name, "%d.%s", i, others[k].suffix);
    if (packed <= 0 || !put(name, frame, (size_t)packed)) return false;
  }
  blosc_set_blocksize(16384);
  const int shuffled = blosc_compress(5, 1, sizeof(float), sizeof values[i], values[i], frame, room);
  snprintf(name, sizeof name, "%d.blosc", i);
  return shuffled > 0 && put(name, frame, (size_t)shuffled);
}

/* Packed they are larger than what is read ahead. */
static bool put_packed(const float *large) {
  static const struct {
    enum lsi_codec codec;
    const char *name;
  } all[] = {{LSI_CODEC_LZ4, "large.by-lz4"}, {LSI_CODEC_ZSTD, "large.by-zstd"}, {LSI_CODEC_GZIP, "large.by-gzip"},
             {LSI_CODEC_BLOSC, "large.by-blosc"}};
  bool good = true;
  for (size_t k = 0; k < LSI_COUNTOF(all); k++) {
    const size_t bytes = LARGE_TOTAL * sizeof *large, room = lsi_encode_bound(all[k].codec, bytes);
    char *packed = malloc(room);
    const int64_t n = packed ? lsi_encode(all[k].codec, 1, large, bytes, packed, room) : -1;
    good = good && n > 0 && put(all[k].name, packed, (size_t)n);
    free(packed);
  }
  return good;
}

int path_setup(void) {
  static char frame[2 * VALUES * sizeof(float)];
  snprintf(dir, sizeof dir, "/tmp/lsio-paths-XXXXXX");
  if (!mkdtemp(dir) || chdir(dir) != 0 || mkdir("many", 0755) != 0) return -1;
  for (unsigned i = 0; i < LARGE_VALUES; i++) ones[i] = 1;
  for (int i = 0; i < FILES; i++) {
    for (unsigned k = 0; k < VALUES; k++) values[i][k] = (float)((unsigned)i * VALUES + k);
    char name[32];
    snprintf(name, sizeof name, "%d.f32", i);
    if (!put(name, values[i], sizeof values[i]) || !put_frames(i, frame, sizeof frame)) return -1;
  }
  for (unsigned i = 0; i < MANY; i++) {
    char name[32];
    snprintf(name, sizeof name, "many/%04d.f32", (int)i);
    if (!put(name, ones, 4 * (i == LARGE_FILE ? LARGE_VALUES : MANY_VALUES))) return -1;
  }
  float *large = malloc(LARGE_TOTAL * sizeof *large);
  for (unsigned i = 0; large && i < LARGE_TOTAL; i++) large[i] = (float)i;
  const bool good = large && put("large.bin", large, LARGE_TOTAL * sizeof *large) && put_packed(large);
  free(large);
  if (!good) return -1;
  array = aligned_alloc(EDGE, 2 * EDGE + BYTES);
  if (array) memset(array, QUIET, 2 * EDGE + BYTES);
  return array ? 0 : -1;
}

/* Files of the folder whose names begin so. */
static int visit(const char *folder, const char *prefix, bool remove_them) {
  int n = 0;
  char path[400];
  DIR *d = opendir(folder);
  for (struct dirent *e; d && (e = readdir(d));) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    if (strncmp(e->d_name, prefix, strlen(prefix)) != 0) continue;
    n++;
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    if (remove_them) unlink(path);
  }
  if (d) closedir(d);
  return n;
}

int path_teardown(void) {
  free(array);
  visit("many", "", true);
  rmdir("many");
  visit(".", "", true);
  return chdir("/") || rmdir(dir);
}

/* ---- checks ---- */

void path_array_is_quiet(const char *where) {
  for (size_t i = 0; i < 2 * EDGE + BYTES; i++)
    if (array[i] != QUIET) fail_msg("%s: byte %zu of the array was written to later", where, i);
}

static unsigned total_of(const struct path_kind *k) { return k->large ? LARGE_TOTAL : TOTAL; }

static void check_values(const struct path_kind *k, const float *got, bool skipped, const char *where) {
  const unsigned step = CHUNK / sizeof(float);
  for (unsigned at = 0; at < total_of(k); at += step) {
    const bool filled = skipped && got[at] == -1;
    for (unsigned i = at; i < at + step; i++)
      if (got[i] != (filled ? -1 : k->factor * (float)i))
        fail_msg("%s: element %u is %f", where, i, (double)got[i]);
  }
}

static void check_file(const struct path_kind *k, bool skipped, const char *where) {
  static float got[TOTAL + 1];
  FILE *f = fopen("out", "rb");
  if (!f) fail_msg("%s: no output", where);
  const size_t n = fread(got, 1, sizeof got, f);
  fclose(f);
  if (n != BYTES) fail_msg("%s: %zu bytes of output", where, n);
  check_values(k, got, skipped, where);
}

static void check_memory(const struct path_kind *k, lsio_job *job, bool skipped, const char *where) {
  struct lsio_array a = {.struct_size = sizeof a};
  if (k->into == PATH_ARRAY) {
    check_values(k, given, skipped, where);
    return;
  }
  if (lsio_job_take_output(job, &a) != 0) fail_msg("%s: no array", where);
  polled_destroy(job); /* what it used must not be what it made */
  if (a.bytes != 4 * (size_t)total_of(k)) fail_msg("%s: %zu bytes of output", where, a.bytes);
  check_values(k, a.data, skipped, where);
  memset(a.data, 0x5a, k->large ? CHUNK : a.bytes);
  lsio_array_free(&a);
}

static void check_result(const struct path_kind *k, const struct polled *c, const char *where) {
  const bool by_file = strstr(k->source, "whole") != NULL;
  const size_t n = k->many ? (c->step == LARGE_FILE ? LARGE_VALUES : MANY_VALUES)
                           : by_file ? VALUES : CHUNK / sizeof(float);
  if (c->length != 4 * n) fail_msg("%s: step %d has %zu bytes", where, (int)c->step, c->length);
  const float *got = c->data;
  for (size_t i = 0; i < n; i++)
    if (got[i] != (k->many ? 1 : k->factor * (float)(c->step * n + i)))
      fail_msg("%s: element %zu of step %d is %f", where, i, (int)c->step, (double)got[i]);
}

/* ---- a job ---- */

static void note(struct path_end *end, int rc, const lsio_error *e) {
  end->rc = rc;
  if (!e) return;
  end->os_code = lsio_error_os_code(e);
  snprintf(end->object, sizeof end->object, "%s", lsio_error_object(e));
  snprintf(end->message, sizeof end->message, "%s", lsio_error_message(e));
}

/* Polls to the end; returns how many results came, each once. */
static unsigned drive(const struct path_kind *k, lsio_job *job, const char *where) {
  unsigned char came[MANY] = {0};
  struct polled batch[4];
  unsigned results = 0;
  for (;;) {
    const int n = polled_take(job, batch, 4, 20000);
    if (n <= 0) fail_msg("%s: the job hangs", where);
    for (int i = 0; i < n; i++) {
      if (batch[i].kind == POLLED_DONE) return results;
      if (batch[i].kind != POLLED_STEP) continue;
      if (batch[i].step >= MANY || came[batch[i].step]++) fail_msg("%s: a result came twice", where);
      check_result(k, &batch[i], where);
      results++;
    }
  }
}

static void give_back(void *user) {
  if (user != array) abort();
  memcpy(given, array + EDGE, BYTES);
  memset(array + EDGE, GIVEN, BYTES);
  atomic_fetch_add(&releases, 1);
}

/* Once it was given back nobody has touched it. */
static void check_given(const char *where) {
  for (size_t i = 0; atomic_load(&releases) && i < BYTES; i++)
    if (array[EDGE + i] != GIVEN) fail_msg("%s: the array was written to after it was given back", where);
}

static lsio_job *submit(lsio_context *context, const struct path_kind *k, const char *backend,
                        struct path_end *end) {
  char script[1024], chosen[32];
  snprintf(script, sizeof script, "local lsio = require 'lsio'\nreturn lsio.job { source = %s,\n %s }\n",
           k->source, k->keys);
  snprintf(chosen, sizeof chosen, "backend=%s", backend);
  const char *settings[6] = {chosen, "workers=2", "merge=never", "memory=64MiB"};
  size_t n = 4;
  for (int i = 0; i < 2 && k->settings[i]; i++) settings[n++] = k->settings[i];
  struct lsio_job_options o = {.struct_size = sizeof o, .script = script,
                               .script_length = strlen(script), .script_name = "job.lua",
                               .settings = settings, .n_settings = n,
                               .flags = LSIO_JOB_NO_ENV | (k->into == PATH_STREAM ? LSIO_JOB_STREAM : 0)};
  if (k->into == PATH_ARRAY) {
    o.output = array + EDGE;
    o.output_length = BYTES;
    o.output_release = give_back;
    o.output_user = array;
  }
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  const int rc = polled_submit(context, &o, &job, &error);
  if (rc) note(end, rc, error);
  lsio_error_free(error);
  return rc ? NULL : job;
}

static void check_success(const struct path_kind *k, lsio_job *job, unsigned results, bool skipped,
                          const char *where) {
  const unsigned steps = k->many ? MANY : strstr(k->source, "whole") ? FILES : (unsigned)(BYTES / CHUNK);
  if (k->into == PATH_FILE) check_file(k, skipped, where);
  if (k->into == PATH_STREAM && results + (unsigned)lsio_job_error_count(job) != steps)
    fail_msg("%s: %u results", where, results);
}

struct path_end path_run(lsio_context *context, const struct path_kind *k, const char *backend,
                         const char *where) {
  struct path_end end = {0};
  path_array_is_quiet(where);
  atomic_store(&releases, 0);
  lsio_job *job = submit(context, k, backend, &end);
  if (job) {
    const unsigned results = drive(k, job, where);
    const int rc = lsio_job_status(job);
    end.exit_code = lsio_job_exit_code(job);
    const bool skipped = !rc && end.exit_code == 1;
    note(&end, rc, skipped ? lsio_job_step_error(job, 0) : lsio_job_error(job));
    if (!rc) check_success(k, job, results, skipped, where);
    if (!rc && k->into >= PATH_MEMORY) check_memory(k, job, skipped, where);
    if (rc || k->into != PATH_MEMORY) polled_destroy(job);
  }
  if (end.rc && visit(".", "out", false)) fail_msg("%s: an output is left", where);
  if (visit(".", ".out", false)) fail_msg("%s: a hidden file is left", where);
  visit(".", "out", true);
  end.releases = atomic_load(&releases);
  check_given(where);
  for (unsigned i = 0; i < EDGE; i++)
    if (array[i] != QUIET || array[EDGE + BYTES + i] != QUIET)
      fail_msg("%s: the edge of the array was written to", where);
  memset(array, QUIET, 2 * EDGE + BYTES);
  return end;
}
