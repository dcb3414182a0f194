/* Programs that keep the results they take: all of them, many times the memory of the context, or few of them;
 * that is counted, and no job waits for it for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "ground/base.h"
#include "ground/mem.h"

#define MEMORY ((uint64_t)8 << 20)
#define BYTES (4 * MEMORY) /* of results, which are all held */

static char *all;   /* the file */
static char **held; /* blocks */
static size_t n_held;
static lsio_context *context;
static lsio_queue *queue;
static lsio_job *open_job; /* of a test that fails */
static const struct lsio_transform *transform;
static int64_t live_before;

static int make_file(void **state) {
  if (api_setup(state) != 0 || !(all = malloc(BYTES)) || !(held = malloc(BYTES / 100 * sizeof *held))) return -1;
  uint64_t word = 1;
  for (uint64_t i = 0; i < BYTES; i += 8, word = word * 6364136223846793005u + 1442695040888963407u)
    memcpy(all + i, &word, 8);
  FILE *f = fopen("big.u8", "wb");
  if (!f) return -1;
  const size_t n = fwrite(all, 1, BYTES, f);
  return fclose(f) != 0 || n != BYTES ? -1 : 0;
}

static int remove_file(void **state) {
  free(held);
  free(all);
  return unlink("big.u8") != 0 || api_teardown(state) != 0 ? -1 : 0;
}

static int begin_with(const char *memory) {
  live_before = lsi_mem_live();
  n_held = 0;
  transform = NULL;
  const char *const settings[] = {"workers=2", memory};
  const struct lsio_context_options o = {
      .struct_size = sizeof o, .flags = LSIO_CONTEXT_NO_ENV, .settings = settings, .n_settings = 2};
  return lsio_context_create(&o, &context, NULL) || lsio_queue_create(context, NULL, &queue, NULL) ? -1 : 0;
}

static int begin(void **state) {
  (void)state;
  return begin_with("memory=8MiB");
}

static int begin_large(void **state) {
  (void)state;
  return begin_with("memory=256MiB");
}

static void close_all(void) {
  lsio_job_release(open_job);
  open_job = NULL;
  lsio_queue_release(queue);
  lsio_context_destroy(context);
  queue = NULL;
  context = NULL;
}

static int end(void **state) {
  (void)state;
  for (size_t i = 0; i < n_held; i++) lsio_block_release((lsio_block *)(void *)held[i]);
  close_all();
  if (lsi_mem_live() == live_before) return 0;
  fprintf(stderr, "%d blocks are lost\n", (int)(lsi_mem_live() - live_before));
  return -1;
}

#define HOLD_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void hold(lsio_block *b) { held[n_held++] = (char *)b; }

static lsio_job *submit(uint64_t chunk, const char *rest) {
  char script[400];
  snprintf(script, sizeof script,
           "local lsio = require 'lsio'\nreturn lsio.job { type = 'u8', %s\n"
           " source = lsio.files('big.u8', { chunk = %llu }) }\n", rest, (unsigned long long)chunk);
  const struct lsio_job_options o = {.struct_size = sizeof o,
                                     .script = script,
                                     .script_length = strlen(script),
                                     .flags = LSIO_JOB_NO_ENV | LSIO_JOB_STREAM,
                                     .transform = transform,
                                     .queue = queue};
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (lsio_submit(context, &o, &job, &error) != 0) fail_msg("%s", lsio_error_message(error));
  open_job = job;
  return job;
}

static void let_go(lsio_job *job) {
  if (job == open_job) open_job = NULL;
  lsio_job_release(job);
}

static void ended_well(lsio_job *job) {
  if (lsio_job_status(job) != 0) fail_msg("%s", lsio_error_message(lsio_job_error(job)));
}

static struct lsio_context_stats stats(void) {
  struct lsio_context_stats s = {.struct_size = sizeof s};
  lsio_context_get_stats(context, &s);
  return s;
}

static uint64_t steps_of(uint64_t chunk) { return (BYTES + chunk - 1) / chunk; }

static void is_right(const char *data, const struct lsio_result *r, uint64_t chunk) {
  const uint64_t at = r->step * chunk;
  assert_true(at < BYTES);
  assert_int_equal(r->length, LSI_MIN(chunk, BYTES - at));
  assert_int_equal(r->flags, (uintptr_t)(data + r->begin) % 64 ? LSIO_RESULT_UNALIGNED : 0);
  if (memcmp(data + r->begin, all + at, r->length)) fail_msg("step %d", (int)r->step);
}

/* What it all takes at most: the list, 64 bytes a result, and one in ten of it, beside what is shared. */
static uint64_t bound(uint64_t chunk, uint64_t results) {
  const uint64_t one = lsi_round_up(chunk, 64) + sizeof(struct lsio_result);
  return MEMORY / 2 + results * one * 11 / 10;
}

struct event {
  const char *data;
  const struct lsio_result *results;
  uint32_t n;
};

static double copied_by(lsio_job *job) {
  json_t *s = json_loads(lsio_job_summary_json(job), 0, NULL);
  const double copied = api_number(s, "bytes_copied");
  json_decref(s);
  return copied;
}

/* Holds all; returns bytes that were copied. */
static double hold_all(uint64_t chunk, const char *rest) {
  struct event *events = malloc(steps_of(chunk) * sizeof *events);
  size_t n = 0;
  assert_non_null(events);
  lsio_job *job = submit(chunk, rest);
  for (bool done = false; !done;) {
    struct lsio_event e[64];
    const int k = lsio_queue_take(queue, e, 64, 60000);
    assert_true(k > 0); /* nothing waits for what is held */
    for (int i = 0; i < k; i++) {
      done |= e[i].kind == LSIO_EVENT_DONE;
      if (e[i].kind == LSIO_EVENT_DONE) continue;
      if (e[i].kind == LSIO_EVENT_STEP_FAILED) fail_msg("%s", lsio_error_message(e[i].error));
      hold(e[i].block);
      events[n++] = (struct event){e[i].data, e[i].results, e[i].n};
    }
  }
  ended_well(job);
  const double copied = copied_by(job);
  let_go(job);
  const uint64_t took = stats().memory_held;
  assert_true(took >= BYTES);
  if (took > bound(chunk, steps_of(chunk)))
    fail_msg("results of %d bytes take %llu", (int)chunk, (unsigned long long)took);
  close_all();
  uint8_t *seen = calloc(steps_of(chunk), 1);
  uint64_t results = 0;
  for (size_t i = 0; i < n; i++)
    for (uint32_t k = 0; k < events[i].n; k++, results++) {
      is_right(events[i].data, &events[i].results[k], chunk);
      if (seen[events[i].results[k].step]++) fail_msg("step %d twice", (int)events[i].results[k].step);
    }
  assert_int_equal(results, steps_of(chunk));
  free(seen);
  free(events);
  return copied;
}

static void all_of_100_bytes_are_held(void **state) { (void)state, hold_all(100, ""); }
static void all_of_4_kib_are_held(void **state) { (void)state, hold_all(4096, ""); }
static void all_of_256_kib_are_held(void **state) { (void)state, hold_all(256 << 10, ""); }
static void all_of_3_mib_are_held(void **state) { (void)state, hold_all(3 << 20, ""); }

static int32_t copy(const lsio_step *step, void *state) {
  (void)state;
  memcpy(step->out, step->data, step->n);
  return 0;
}

/* A transform writes them where they are held, also where that is in a block of their own. */
static void all_that_a_transform_made_are_held(void **state) {
  (void)state;
  static const struct lsio_transform t = {.struct_size = sizeof t, .step = copy};
  transform = &t;
  assert_true(hold_all(4096, "") == 0);
}

/* Such could be shorter: it is known only then which block they need. */
static void all_of_unknown_size_are_held(void **state) {
  (void)state;
  const double copied = hold_all(4096, "out_max = 4096,"
                                       " transform = function(chunk) lsio.k.copy(chunk.data, chunk.n, chunk.out) return chunk.n end,");
  assert_true(copied >= (double)(BYTES - MEMORY / 2) && copied < (double)BYTES);
}

/* One of 16 is kept, and does not keep its neighbours for ever. */
static void what_is_let_go_is_not_kept_by_what_is_held(void **state) {
  (void)state;
  lsio_job *job = submit(4096, "");
  uint64_t kept = 0;
  for (bool done = false; !done;) {
    struct lsio_event e[64];
    const int k = lsio_queue_take(queue, e, 64, 60000);
    assert_true(k > 0);
    for (int i = 0; i < k; i++) {
      done |= e[i].kind == LSIO_EVENT_DONE;
      if (e[i].kind == LSIO_EVENT_DONE) continue;
      const uint64_t before = kept;
      for (uint32_t r = 0; r < e[i].n; r++) {
        is_right(e[i].data, &e[i].results[r], 4096);
        kept += e[i].results[r].step % 16 == 0;
      }
      if (kept > before) hold(e[i].block);
      else lsio_block_release(e[i].block);
    }
  }
  ended_well(job);
  let_go(job);
  assert_int_equal(kept, steps_of(4096) / 16);
  if (stats().memory_held > bound(4096, kept)) fail_msg("%d bytes are held", (int)stats().memory_held);
}

/* Several of the program's hold one block. */
static void what_is_held_counts_once(void **state) {
  (void)state;
  lsio_job *job = submit(256 << 10, "");
  uint64_t n = 0;
  for (bool done = false; !done;) {
    struct lsio_event e[1];
    assert_int_equal(lsio_queue_take(queue, e, 1, 60000), 1);
    done = e[0].kind == LSIO_EVENT_DONE;
    if (done) continue;
    n += e[0].n;
    const uint64_t before = stats().memory_held;
    assert_true(before);
    lsio_block_retain(e[0].block);
    lsio_block_release(e[0].block);
    assert_int_equal(stats().memory_held, before);
    lsio_block_release(e[0].block);
    assert_int_equal(stats().memory_held, 0);
  }
  assert_int_equal(n, BYTES / (256 << 10));
  let_go(job);
}

static void wait_for(uint64_t queued) {
  for (int i = 0; i < 60000 && stats().jobs_queued != queued; i++) usleep(1000);
  assert_int_equal(stats().jobs_queued, queued);
}

/* A job that would fit beside another one waits while half of the memory is held, and no longer. */
static void what_is_held_is_not_for_jobs(void **state) {
  (void)state;
  lsio_job *job = submit(256 << 10, "");
  for (bool done = false; !done;) {
    struct lsio_event e[8];
    const int k = lsio_queue_take(queue, e, 8, 60000);
    assert_true(k > 0);
    for (int i = 0; i < k; i++) {
      done |= e[i].kind == LSIO_EVENT_DONE;
      if (e[i].kind == LSIO_EVENT_RESULTS) hold(e[i].block);
    }
  }
  let_go(job);
  assert_true(stats().memory_held >= BYTES);
  /* Each may use 3 of 8 MiB: two fit, but not beside 4. */
  static const char small[] = "options = { memory = '3MiB', workers = 1 },";
  lsio_job *one = submit(4096, small), *two = submit(4096, small); /* nobody takes from them */
  wait_for(1);
  while (n_held) lsio_block_release((lsio_block *)(void *)held[--n_held]);
  wait_for(0);
  assert_int_equal(stats().memory_held, 0);
  let_go(one);
  let_go(two);
}

/* Who takes nothing has as little read as is said: what has been read waits in memory, in blocks or not. */
static void unread(uint64_t chunk) {
  const uint64_t first = stats().bytes_read;
  lsio_job *job = submit(chunk, "");
  uint64_t read = 0;
  for (int still = 0; still < 20; still++) {
    usleep(10000);
    const uint64_t now = stats().bytes_read - first;
    if (now != read || !now) still = 0;
    read = now;
  }
  /* What may wait, and two arenas of 4 MiB; and what is on its way. */
  if (read > (uint64_t)(16 + 2 * 4 + 4) << 20) fail_msg("%llu bytes were read", (unsigned long long)read);
  let_go(job);
}

static void little_is_read_for_who_takes_nothing(void **state) {
  (void)state;
  unread(4096);
  unread(256 << 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {HOLD_TEST(all_of_100_bytes_are_held),
                                     HOLD_TEST(all_of_4_kib_are_held),
                                     HOLD_TEST(all_of_256_kib_are_held),
                                     HOLD_TEST(all_of_3_mib_are_held),
                                     HOLD_TEST(all_that_a_transform_made_are_held),
                                     HOLD_TEST(all_of_unknown_size_are_held),
                                     HOLD_TEST(what_is_let_go_is_not_kept_by_what_is_held),
                                     HOLD_TEST(what_is_held_counts_once),
                                     HOLD_TEST(what_is_held_is_not_for_jobs),
                                     cmocka_unit_test_setup_teardown(little_is_read_for_who_takes_nothing,
                                                                     begin_large, end)};
  return cmocka_run_group_tests(tests, make_file, remove_file);
}
