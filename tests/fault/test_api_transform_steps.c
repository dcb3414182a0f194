/* Steps of transforms in C, through lsio.h: what they see, where that lies, and what they return. */
#include <lz4frame.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "polled.h"

static int mine; /* what `user` is */

/* ---- results ---- */

static int32_t halves(const lsio_step *step, void *state) {
  (void)state;
  const float *v = step->data;
  double *out = step->out;
  if (strcmp(step->type, "f32") || strcmp(step->out_type, "f64") || step->item != 4 || step->out_item != 8) return -5;
  if (step->pos != (int64_t)(step->index * (API_CHUNK / 4)) || step->out_n != step->n) return -6;
  if (step->index % 10 == 4) return LSIO_STEP_NOTHING;
  for (uint64_t i = 0; i < step->n; i++) out[i] = v[i] / 2.0;
  return 0;
}

static void test_results_in_an_array(void **unused) {
  (void)unused;
  const struct lsio_transform t = {.struct_size = sizeof t, .step = halves};
  lsio_job *job = api_submit_c(API_HEAD " sink = lsio.memory { type = 'f64' }, fill = -3 }", 0, &t);
  json_decref(api_ends(job, 0));
  struct lsio_array a = {.struct_size = sizeof a};
  assert_int_equal(lsio_job_output(job, &a), 0);
  assert_int_equal(a.bytes, API_VALUES * sizeof(double));
  const double *out = a.data;
  for (int i = 0; i < API_VALUES; i++)
    if (out[i] != (i / (API_CHUNK / 4) % 10 == 4 ? -3 : api_values[i] / 2)) fail_msg("element %d is %g", i, out[i]);
}

/* As many as the step's index modulo 4, which are 0 for some. */
static int32_t few(const lsio_step *step, void *state) {
  (void)state;
  float *out = step->out;
  const int32_t n = (int32_t)(step->index % 4);
  if (step->out_n != 3 || !(step->flags & LSIO_STEP_OUT_PADDED)) return -5;
  for (int i = 0; i < n; i++) out[i] = (float)step->index;
  return n ? n : LSIO_STEP_NOTHING;
}

static void test_results_of_variable_size(void **unused) {
  (void)unused;
  const struct lsio_transform t = {.struct_size = sizeof t, .step = few};
  lsio_job *job = api_submit_c(API_HEAD " out_max = 3, sink = lsio.memory() }", 0, &t);
  json_decref(api_ends(job, 0));
  struct lsio_array a = {.struct_size = sizeof a};
  assert_int_equal(lsio_job_output(job, &a), 0);
  assert_int_equal(a.bytes, API_STEPS / 4 * 6 * sizeof(float));
  const float *out = a.data;
  for (int step = 0; step < API_STEPS; step++)
    for (int i = 0; i < step % 4; i++) assert_true(*out++ == (float)step);
  api_close(job);

  job = api_submit_c(API_HEAD " out_max = 3 }", LSIO_JOB_STREAM, &t);
  struct polled c;
  int results = 0;
  for (; polled_take(job, &c, 1, -1) == 1 && c.kind == POLLED_STEP; results++)
    assert_true(c.length == c.step % 4 * 4 && (!c.length || *(const float *)c.data == (float)c.step));
  assert_int_equal(c.kind, POLLED_DONE);
  assert_int_equal(results, API_STEPS);
}

static int32_t negate(const lsio_step *step, void *state) {
  (void)state;
  const float *v = step->data;
  float *out = step->out;
  for (uint64_t i = 0; i < step->n; i++) out[i] = -v[i];
  return 0;
}

/* A full `out` is a result where nobody has said out_max, too. */
static void test_results_in_a_stream(void **unused) {
  (void)unused;
  const struct lsio_transform t = {.struct_size = sizeof t, .step = negate};
  lsio_job *job = api_submit_c(API_HEAD " }", LSIO_JOB_STREAM, &t);
  struct polled c;
  int results = 0;
  for (; polled_take(job, &c, 1, -1) == 1 && c.kind == POLLED_STEP; results++) {
    const float *v = c.data;
    assert_int_equal(c.length, API_CHUNK);
    for (int i = 0; i < API_CHUNK / 4; i++) assert_true(v[i] == -api_values[c.step * (API_CHUNK / 4) + (uint64_t)i]);
  }
  assert_int_equal(c.kind, POLLED_DONE);
  assert_int_equal(results, API_STEPS);
}

/* ---- what a step sees ---- */

static int32_t look(const lsio_step *s, void *state) {
  const uint64_t at = s->index * API_CHUNK;
  const bool good =
      s->size == sizeof *s && s->n == API_CHUNK / 4 && s->bytes == API_CHUNK && s->object == 0 && !s->out &&
      s->object_size == sizeof api_values && s->offset == at && s->length == API_CHUNK && s->tag == 0 &&
      strcmp(s->name, "a.f32") == 0 && s->name_length == 5 && s->worker < 2 && s->n_chunks == 1 &&
      s->user == &mine && s->message_size > 100 && !s->message[0] && !*s->stop && !state && s->pos == -1 &&
      s->scratch_bytes >= s->bytes && (uintptr_t)s->scratch % 64 == 0 &&
      (s->flags & 3) == (LSIO_STEP_FIRST | LSIO_STEP_LAST) &&
      !(s->flags & LSIO_STEP_ALIGNED) == ((uintptr_t)s->data % 64 != 0) &&
      memcmp(s->data, (const char *)api_values + at, API_CHUNK) == 0;
  memset(s->scratch, 1, s->scratch_bytes);
  if (s->flags & LSIO_STEP_LENT && s->flags & LSIO_STEP_PADDED) return -3;
  return good ? 0 : -2;
}

static void test_what_a_step_sees(void **unused) {
  (void)unused;
  const struct lsio_transform t = {.struct_size = sizeof t, .step = look, .user = &mine};
  json_decref(api_ends(api_submit_c(API_HEAD "}", 0, &t), 0));
}

#define PIECES                                                                                                \
  "local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files({ 'a.lz4', 'b.lz4' }), type = 'f32',\n" \
  " codec = 'lz4', piece = '64KiB', state = 'double sum, first, last, n, bad;', reduce = 'sum',\n"             \
  " on_error = 'skip' }"

struct pieces {
  double sum, first, last, n, bad;
};

/* What lies behind a piece is read, and must be there. */
static int32_t piece(const lsio_step *step, void *state) {
  struct pieces *s = state;
  const float *v = step->data;
  volatile unsigned char behind = 0;
  for (uint64_t i = 0; i < step->n; i++) s->sum += v[i];
  s->first += !!(step->flags & LSIO_STEP_FIRST);
  s->last += !!(step->flags & LSIO_STEP_LAST);
  s->n++;
  s->bad += (step->flags & (LSIO_STEP_PADDED | LSIO_STEP_LENT)) != LSIO_STEP_PADDED && step->n;
  if (step->flags & LSIO_STEP_PADDED)
    for (int i = 0; i < 64; i++) behind += ((const unsigned char *)step->data)[step->bytes + (uint64_t)i];
  return 0;
}

static void put(const char *name, const void *data, size_t n) {
  FILE *f = fopen(name, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

/* One of two chunks is damaged in its last block: of the pieces before no trace is left. */
static void test_pieces(void **unused) {
  (void)unused;
  static char frame[sizeof api_values + 4096];
  const LZ4F_preferences_t how = {.frameInfo = {.blockChecksumFlag = LZ4F_blockChecksumEnabled}};
  const size_t n = LZ4F_compressFrame(frame, sizeof frame, api_values, sizeof api_values, &how);
  assert_false(LZ4F_isError(n));
  put("a.lz4", frame, n);
  frame[n - 20] ^= 1;
  put("b.lz4", frame, n);
  const struct lsio_transform t = {.struct_size = sizeof t, .step = piece};
  lsio_job *job = api_submit_c(PIECES, 0, &t);
  json_t *summary = api_ends(job, 0), *s = json_object_get(summary, "state");
  double sum = 0;
  for (int i = 0; i < API_VALUES; i++) sum += api_values[i];
  assert_true(api_number(summary, "steps_failed") == 1);
  assert_true(api_number(s, "sum") == sum);
  assert_true(api_number(s, "first") == 1 && api_number(s, "last") == 1 && api_number(s, "n") > 4);
  assert_true(api_number(s, "bad") == 0);
  json_decref(summary);
  unlink("a.lz4");
  unlink("b.lz4");
}

/* ---- where data lies ---- */

/* What lies behind data is read, so that memory that is not there would be seen. */
static int32_t well(const lsio_step *step, void *state) {
  const uint32_t wanted = LSIO_STEP_ALIGNED | LSIO_STEP_PADDED;
  volatile unsigned char behind = 0;
  if (step->flags & LSIO_STEP_LENT || (step->flags & wanted) != wanted || (uintptr_t)step->data % 64) {
    snprintf(step->message, step->message_size, "data lies badly: flags %x, %p", step->flags, step->data);
    return LSIO_ERR_TRANSFORM;
  }
  for (uint64_t i = 0; i < 64; i++) behind += ((const unsigned char *)step->data)[step->bytes + i];
  *(uint64_t *)state += step->bytes;
  return 0;
}

static void lies_well(const char *script, uint64_t bytes) {
  const struct lsio_transform t = {.struct_size = sizeof t, .step = well};
  lsio_job *job = api_submit_c(script, 0, &t);
  json_t *summary = api_ends(job, 0);
  assert_true(api_number(json_object_get(summary, "state"), "bytes") == (double)bytes);
  json_decref(summary);
  api_close(job);
}

#define LIES(source, more)                                                                    \
  "local lsio = require 'lsio'\nreturn lsio.job { source = lsio." source ", " more             \
  " state = 'uint64_t bytes;', reduce = 'sum' }"

/* They end where a buffer of just their size would. */
static void test_decoded_data_lies_well(void **unused) {
  (void)unused;
  static char frame[300000], whole[65536 * 4];
  memcpy(whole, api_values, sizeof whole);
  const LZ4F_preferences_t how = {.frameInfo = {.contentSize = sizeof whole}};
  const size_t n = LZ4F_compressFrame(frame, sizeof frame, whole, sizeof whole, &how);
  assert_false(LZ4F_isError(n));
  put("c.lz4", frame, n);
  put("d.u8", whole, sizeof whole);
  lies_well(LIES("files('c.lz4')", "type = 'f32', codec = 'lz4',"), sizeof whole);
  lies_well(LIES("files('c.lz4')", "type = 'f32', codec = 'lz4', decoded = '256KiB',"), sizeof whole);
  lies_well(LIES("files('c.lz4')", "type = 'f32be', codec = 'lz4',"), sizeof whole);
  lies_well(LIES("files('d.u8', { whole = true })", "type = 'u16be',"), sizeof whole);
  unlink("c.lz4");
  unlink("d.u8");
}

/* From the page cache, wherever they begin. */
static void test_read_data_lies_well(void **unused) {
  (void)unused;
  static char whole[sizeof api_values];
  put("e.u8", whole, sizeof whole);
  lies_well(LIES("ranges { objects = { 'e.u8' }, offset = { 5, 70001, 300000, 399000 }, length = 999 }",
                 "options = { direct = 'never' },"), 4 * 999);
  lies_well(LIES("files('e.u8', { offset = 131, chunk = 4096 })", "options = { direct = 'never' },"),
            sizeof whole - 131);
  unlink("e.u8");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(test_results_in_an_array),
      API_TEST(test_results_of_variable_size),
      API_TEST(test_results_in_a_stream),
      API_TEST(test_what_a_step_sees),
      API_TEST(test_pieces),
      API_TEST(test_decoded_data_lies_well),
      API_TEST(test_read_data_lies_well),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
