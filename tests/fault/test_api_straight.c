/* Streams of bytes as they are stored: read where the program gets them, however they lie in their file and are
 * read together, and copied only where that would keep much that nobody asked for. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "ground/base.h"

#define BYTES ((uint64_t)API_VALUES * 4)

static lsio_queue *queue;

static int begin(void **state) {
  return api_begin(state) || lsio_queue_create(api_context, NULL, &queue, NULL) ? -1 : 0;
}

static int end(void **state) {
  lsio_queue_release(queue);
  return api_end(state);
}

#define QUEUE_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

/* Of `source`, whose step i is the part of a.f32 that `part` says: all come once, right. */
struct job {
  const char *source, *settings[4];
  uint64_t n; /* steps */
  void (*part)(uint64_t i, uint64_t *offset, uint64_t *length);
};

struct figures {
  double copied, delivered, direct;
};

static void check(const struct job *j, const struct lsio_event *e, uint8_t *seen) {
  for (uint32_t i = 0; i < e->n; i++) {
    const struct lsio_result *r = &e->results[i];
    const char *data = e->data + r->begin;
    uint64_t offset, length;
    assert_true(r->step < j->n && !seen[r->step]++);
    j->part(r->step, &offset, &length);
    assert_int_equal(r->length, length);
    if (length && memcmp(data, (const char *)api_values + offset, length))
      fail_msg("step %d of %s", (int)r->step, j->source);
    assert_int_equal(r->flags, length && (uintptr_t)data % 64 ? LSIO_RESULT_UNALIGNED : 0);
    volatile char behind = 0; /* may be read */
    for (int k = 0; k < 64; k++) behind += data[length + (uint64_t)k];
    (void)behind;
  }
}

static double figure(json_t *s, const char *name) { return api_number(s, name); }

static struct figures run(const struct job *j) {
  char script[500];
  size_t n_settings = 0;
  while (n_settings < 4 && j->settings[n_settings]) n_settings++;
  snprintf(script, sizeof script, "local lsio = require 'lsio'\nreturn lsio.job { type = 'u8', source = %s }",
           j->source);
  struct lsio_job_options o = api_options(script, LSIO_JOB_STREAM);
  o.settings = j->settings;
  o.n_settings = n_settings;
  o.queue = queue;
  lsio_job *job;
  lsio_error *error;
  if (lsio_submit(api_context, &o, &job, &error) != 0) fail_msg("%s", lsio_error_message(error));
  uint8_t *seen = calloc(j->n, 1);
  for (bool done = false; !done;) {
    struct lsio_event e[16];
    const int n = lsio_queue_take(queue, e, 16, 60000);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
      done |= e[i].kind == LSIO_EVENT_DONE;
      if (e[i].kind != LSIO_EVENT_RESULTS) continue;
      check(j, &e[i], seen);
      lsio_block_release(e[i].block);
    }
  }
  if (lsio_job_status(job) != 0) fail_msg("%s", lsio_error_message(lsio_job_error(job)));
  for (uint64_t i = 0; i < j->n; i++)
    if (!seen[i]) fail_msg("step %d of %s is missing", (int)i, j->source);
  free(seen);
  json_t *s = json_loads(lsio_job_summary_json(job), 0, NULL);
  const struct figures f = {figure(s, "bytes_copied"), figure(s, "bytes_delivered"), figure(s, "bytes_direct")};
  json_decref(s);
  lsio_job_release(job);
  return f;
}

static uint64_t chunk; /* of a file that is cut */

static void cut(uint64_t i, uint64_t *offset, uint64_t *length) {
  *offset = i * chunk;
  *length = LSI_MIN(chunk, BYTES - *offset);
}

static void nothing_is_copied(void **state) {
  (void)state;
  static const uint64_t chunks[] = {64, 100, 400, 4096, 5000, 65536, 262144, BYTES};
  static const char *const more[] = {"direct=never", "direct=always", "merge=never"};
  for (size_t i = 0; i < LSI_COUNTOF(chunks); i++)
    for (size_t k = 0; k < LSI_COUNTOF(more); k++) {
      char source[100];
      chunk = chunks[i];
      snprintf(source, sizeof source, "lsio.files('a.f32', { chunk = %d })", (int)chunk);
      const struct job j = {.source = source, .settings = {"workers=2", "memory=64MiB", more[k]},
                            .n = (BYTES + chunk - 1) / chunk, .part = cut};
      const struct figures f = run(&j);
      assert_true(f.delivered == (double)BYTES);
      if (f.copied != 0) fail_msg("%.0f bytes of chunks of %d were copied (%s)", f.copied, (int)chunk, more[k]);
    }
}

/* Steps of 1,000 bytes, each 1,600 behind the one before or 2,500. */
static void near(uint64_t i, uint64_t *offset, uint64_t *length) { *offset = i * 1600, *length = 1000; }
static void apart(uint64_t i, uint64_t *offset, uint64_t *length) { *offset = i * 2500, *length = 1000; }
/* Or before its end; the last ones are empty. */
static void over(uint64_t i, uint64_t *offset, uint64_t *length) {
  *offset = i * 300;
  *length = i < 90 ? 1000 : 0;
}

#define RANGES(by, length)                                                                         \
  "(function() local o, l = {}, {} for i = 1, 100 do o[i], l[i] = (i - 1) * " by ", " length       \
  " end return lsio.ranges { objects = { 'a.f32' }, offset = o, length = l } end)()"

static void gaps_are_kept_up_to_half(void **state) {
  (void)state;
  const struct job close = {.source = RANGES("1600", "1000"), .settings = {"workers=1", "merge=64KiB"},
                            .n = 100, .part = near};
  struct figures f = run(&close);
  assert_true(f.delivered == 100000 && f.copied == 0);
  const struct job far = {.source = RANGES("2500", "1000"), .settings = {"workers=1", "merge=64KiB"},
                          .n = 100, .part = apart};
  f = run(&far);
  assert_true(f.delivered == 100000 && f.copied == 100000);
  const struct job alone = {.source = RANGES("2500", "1000"), .settings = {"workers=1", "merge=never"},
                            .n = 100, .part = apart};
  f = run(&alone);
  assert_true(f.delivered == 100000 && f.copied == 0);
}

static void overlaps_are_read_once(void **state) {
  (void)state;
  const struct job j = {.source = RANGES("300", "i <= 90 and 1000 or 0"), .settings = {"workers=1"}, .n = 100,
                        .part = over};
  const struct figures f = run(&j);
  assert_true(f.delivered == 90000 && f.copied == 0);
}

#define FILES 1200
#define FILE_BYTES(i) ((i) == 700 ? BYTES : (i) % 50 * 37)

static void file(uint64_t i, uint64_t *offset, uint64_t *length) { *offset = 0, *length = FILE_BYTES(i); }

static void whole_files_are_read_there(void **state) {
  (void)state;
  char name[32];
  assert_int_equal(mkdir("d", 0755), 0);
  for (size_t i = 0; i < FILES; i++) {
    snprintf(name, sizeof name, "d/%04d", (int)i);
    const int fd = open(name, O_CREAT | O_WRONLY, 0644);
    assert_true(fd >= 0 && write(fd, api_values, FILE_BYTES(i)) == (ssize_t)FILE_BYTES(i));
    close(fd);
  }
  static const char *const memory[] = {"memory=64MiB", "memory=1MiB"};
  for (int i = 0; i < 2; i++) {
    const struct job j = {.source = "lsio.files('d/*', { whole = true })", .settings = {"workers=1", memory[i]},
                          .n = FILES, .part = file};
    assert_true(run(&j).copied == 0);
  }
  for (size_t i = 0; i < FILES; i++) {
    snprintf(name, sizeof name, "d/%04d", (int)i);
    unlink(name);
  }
  assert_int_equal(rmdir("d"), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {QUEUE_TEST(nothing_is_copied), QUEUE_TEST(gaps_are_kept_up_to_half),
                                     QUEUE_TEST(overlaps_are_read_once), QUEUE_TEST(whole_files_are_read_there)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
