/* What the engine does with lent bytes when something goes wrong meanwhile: the source has changed, or the
 * backend breaks. The backend of this test maps one object and is silent about the other. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/state/engine.h"
#include "ground/mem.h"
#include "run_take.h"
#include "seams/os.h"
#include "step_transform.h"

#define SIZE (256u << 10)
#define LENT 0u
#define SILENT 1u

struct lsi_backend {
  struct lsi_op *done[64], *held[64];
  int n_done, n_held;
};

static uint8_t bytes[SIZE];
static bool changed; /* what a look says of the object, ... */
static bool changed_at_close;
static int larger;   /* by so many bytes */
static uint64_t other; /* another object */
static char what[800]; /* the run's error */
static int read_code; /* what reading it brings, if it is negative, and with which errno */
static int read_errno;
static int look_code;
static int lent, released;
static uint32_t failing; /* the step whose transform fails */

static struct lsi_object_info info_of(uint64_t object) {
  return (struct lsi_object_info){.size = SIZE, .version = {object, 1}, .device = 1,
                                  .known = LSI_KNOWN_SIZE | LSI_KNOWN_VERSION};
}

static uint64_t object_of(const char *name) { return strcmp(name, "lent") == 0 ? LENT : SILENT; }

static int map_probe(struct lsi_error *err) {
  (void)err;
  return 0;
}

static int map_stat(const void *user, const char *const *names, size_t n, struct lsi_object_info *infos,
                    struct lsi_watch *watch, bool faults, struct lsi_error *err) {
  (void)user, (void)watch, (void)faults, (void)err;
  for (size_t i = 0; i < n; i++) infos[i] = info_of(object_of(names[i]));
  return 0;
}

static const struct lsi_store store = {.stat_many = map_stat, .changed = lsi_object_changed};
static const struct lsi_store *const stores[] = {&store, NULL};

static int map_create(const struct lsi_backend_config *config, struct lsi_backend **out,
                      struct lsi_error *err) {
  (void)config, (void)err;
  *out = lsi_calloc(1, sizeof **out);
  return *out ? 0 : LSIO_ERR_NOMEM;
}

static void map_destroy(struct lsi_backend *b) { lsi_free(b); }

static int map_open(struct lsi_backend *b, const struct lsi_open *order, struct lsi_handle *h,
                    struct lsi_error *err) {
  (void)b, (void)err;
  h->info = info_of(object_of(order->name));
  h->lends = h->mapped = object_of(order->name) == LENT;
  return 0;
}

static int map_close(struct lsi_backend *b, struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  *now = h->info;
  now->version[1] += changed_at_close;
  return 0;
}

static int map_submit(struct lsi_backend *b, struct lsi_op *const *ops, int n) {
  for (int i = 0; i < n; i++) {
    struct lsi_op *op = ops[i];
    if (!op->handle->mapped) {
      b->held[b->n_held++] = op;
      continue;
    }
    op->result = read_code ? read_code : (int64_t)op->length;
    op->os_code = read_errno;
    if (!read_code) op->data = bytes + op->offset, lent++;
    b->done[b->n_done++] = op;
  }
  return n;
}

static int map_reap(struct lsi_backend *b, struct lsi_op **done, int max, int64_t timeout_ns,
                    struct lsi_error *err) {
  (void)timeout_ns;
  int n = 0;
  while (n < max && b->n_done) done[n++] = b->done[--b->n_done];
  return n || !b->n_held ? n : lsi_fail(err, LSIO_ERR_IO, 0, "the backend is broken");
}

static void map_release(struct lsi_backend *b, struct lsi_op *op) {
  (void)b, (void)op;
  released++;
}

static int map_look(struct lsi_backend *b, const struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  *now = h->info;
  now->version[1] += changed;
  now->size += (uint64_t)larger;
  now->version[0] += other;
  return look_code;
}

static const struct lsi_backend_ops mapping = {
    .version = LSI_BACKEND_VERSION, .name = "map",         .caps = LSI_CAP_MAPS | LSI_CAP_WRITES,
    .probe = map_probe,             .create = map_create,
    .destroy = map_destroy,         .open = map_open,      .close = map_close,
    .submit = map_submit,           .reap = map_reap,      .release = map_release,
    .look = map_look,
};

/* ---- the job ---- */

static int t_step(void *state, struct lsi_step *s, struct lsi_error *err) {
  (void)state;
  if (s->index == failing) return lsi_fail(err, LSIO_ERR_TRANSFORM, 0, "failed on purpose");
  if (s->out && s->chunk[0].bytes > 0) memcpy(s->out, s->chunk[0].data, (size_t)s->chunk[0].bytes);
  return 0;
}

static const struct lsi_transform_ops transform = STEP_TRANSFORM(t_step);

struct job {
  struct lsi_spec spec;
  struct lsi_run_config config;
  int64_t live;
  uint32_t units; /* 1: all chunks merge; else each by itself */
};

static void begin(struct job *j) {
  *j = (struct job){.live = lsi_mem_live(), .units = 1};
  changed = changed_at_close = false;
  larger = 0;
  other = 0;
  read_code = read_errno = 0;
  look_code = lent = released = 0;
  failing = UINT32_MAX;
  lsi_spec_init(&j->spec);
  j->spec.type = (struct lsi_dtype){LSI_U8, false};
  j->spec.transform = &transform;
  j->spec.request = lsi_request_create();
  const struct lsi_object_info infos[] = {info_of(LENT), info_of(SILENT)};
  assert_int_equal(lsi_request_add_object(j->spec.request, "lent", &infos[0], NULL, NULL), 0);
  assert_int_equal(lsi_request_add_object(j->spec.request, "silent", &infos[1], NULL, NULL), 0);
}

/* Runs it to its end, which is this code. */
static struct lsi_summary run(struct job *j, int code) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsi_device_model model;
  lsi_device_preset((enum lsi_device_kind)0, &model);
  struct lsi_plan_options options = {.merge = j->units > 1 ? LSI_MERGE_NEVER : LSI_MERGE_AUTO,
                                     .n_devices = 1, .devices = &model};
  struct lsi_plan *plan;
  assert_int_equal(lsi_plan_build(j->spec.request, &options, &plan, &e), 0);
  assert_int_equal(plan->n_units, j->units);
  j->config.spec = &j->spec;
  j->config.plan = plan;
  j->config.stores = stores;
  j->config.backend = &mapping;
  j->config.maps = true;
  j->config.sink_type = j->spec.type;
  j->config.sink_device = UINT32_MAX;
  j->config.workers = 1;
  j->config.share = 16u << 20;
  struct lsi_run *r;
  assert_int_equal(lsi_run_start(&j->config, &r, &e), 0);
  while (!lsi_run_ended(r))
    for (struct lsi_run_completion *c = run_take(r, 100000000), *next; c; c = next) {
      next = c->next;
      lsi_run_free_completion(c);
    }
  assert_int_equal(lsi_run_join(r, &e), code);
  snprintf(what, sizeof what, "%s", e.what);
  struct lsi_summary s;
  lsi_run_summary(r, &s);
  lsi_run_destroy(r);
  lsi_plan_free(plan);
  if (j->config.sink) lsi_sink_discard(j->config.sink);
  lsi_spec_clear(&j->spec);
  assert_int_equal(released, lent);
  assert_int_equal(lsi_mem_live(), j->live);
  return s;
}

static void add(struct job *j, int64_t offset, int64_t length) {
  assert_int_equal(lsi_request_add_chunk(j->spec.request, LENT, offset, length, 0, NULL), 0);
}

/* One chunk of the step is lent already, the other never comes. */
static void a_backend_breaks_while_bytes_are_lent(void **state) {
  (void)state;
  struct job j;
  begin(&j);
  const uint32_t objects[] = {LENT, SILENT, LENT};
  const int64_t offsets[] = {0, 0, SIZE / 2}, lengths[] = {4096, 4096, 4096};
  assert_int_equal(lsi_request_add_step(j.spec.request, 3, objects, offsets, lengths, NULL, NULL), 0);
  const struct lsi_summary s = run(&j, LSIO_ERR_IO);
  assert_int_equal(lent, 2);
  assert_int_equal(s.operations, 3);
  assert_int_equal(s.steps, 0);
}

/* What steps without a result have put into a state counts only after a look behind them. */
static void a_source_changes_under_a_unit(void **state) {
  (void)state;
  for (int skip = 0; skip < 2; skip++) {
    struct job j;
    begin(&j);
    add(&j, 0, 4096);
    add(&j, 4096, 4096);
    if (skip) j.spec.on_error = LSI_ON_ERROR_SKIP;
    changed = true;
    const struct lsi_summary s = run(&j, LSIO_ERR_SOURCE);
    assert_int_equal(s.steps, 0);
    assert_int_equal(s.chunks, 0);
    assert_int_equal(s.steps_failed, 2);
  }
}

static void it_is_told_how_a_source_changed(void **state) {
  (void)state;
  static const struct {
    bool changed;
    int larger;
    uint64_t other;
    const char *how;
  } ways[] = {{true, 0, 0, "was modified"},  {true, 1, 0, "has grown"},     {false, 1, 0, "has grown"},
              {true, -1, 0, "was truncated"}, {false, -1, 0, "was truncated"}, {true, -1, 1, "was replaced"}};
  for (size_t i = 0; i < LSI_COUNTOF(ways); i++) {
    struct job j;
    begin(&j);
    add(&j, 0, 4096);
    changed = ways[i].changed;
    larger = ways[i].larger;
    other = ways[i].other;
    run(&j, LSIO_ERR_SOURCE);
    assert_non_null(strstr(what, ways[i].how));
  }
}

/* Steps may fail for what they saw: then those before them have seen it too, and though such a failure could
 * be skipped, their results can't be taken back. */
static void pages_are_lost_before_a_step_fails(void **state) {
  (void)state;
  struct job j;
  begin(&j);
  add(&j, 0, 4096);
  add(&j, 4096, 4096);
  j.spec.on_error = LSI_ON_ERROR_SKIP;
  failing = 1;
  look_code = LSIO_ERR_IO;
  const struct lsi_summary s = run(&j, LSIO_ERR_IO);
  assert_int_equal(s.steps, 0);
  assert_int_equal(s.steps_failed, 2);
}

/* More units than are held at a time, as fast as they can be run: there is nothing to read for them. */
static void many_units_wait_for_a_look(void **state) {
  (void)state;
  for (int i = 0; i < 50; i++) {
    struct job j;
    begin(&j);
    j.units = 500;
    j.config.stream = true;
    for (uint32_t k = 0; k < j.units; k++) add(&j, k * 16, 0);
    const struct lsi_summary s = run(&j, 0);
    assert_int_equal(s.steps, j.units);
    assert_int_equal(s.operations, 0);
    assert_int_equal(s.bytes_delivered, 0);
  }
}

/* The object is found changed by the read, though a look says nothing (a file system of the network). */
static void a_read_finds_its_source_changed(void **state) {
  (void)state;
  struct job j;
  begin(&j);
  add(&j, 0, 4096);
  j.spec.on_error = LSI_ON_ERROR_SKIP;
  read_code = LSIO_ERR_SOURCE;
  const struct lsi_summary s = run(&j, LSIO_ERR_SOURCE);
  assert_int_equal(s.steps, 0);
  assert_int_equal(s.steps_failed, 1);
}

/* No backend should let these through; they are asked again, but not for ever. */
static void a_read_is_asked_again_some_times(void **state) {
  (void)state;
  static const int codes[] = {EAGAIN, EINTR};
  for (int i = 0; i < 2; i++) {
    struct job j;
    begin(&j);
    add(&j, 0, 4096);
    j.spec.on_error = LSI_ON_ERROR_SKIP;
    read_code = LSIO_ERR_IO;
    read_errno = codes[i];
    const struct lsi_summary s = run(&j, 0);
    assert_int_equal(s.steps_failed, 1);
  }
}

/* What comes to light at the end does not hide what ended the job. */
static void the_first_error_is_told(void **state) {
  (void)state;
  struct job j;
  begin(&j);
  add(&j, 0, 4096);
  failing = 0;
  changed_at_close = true;
  run(&j, LSIO_ERR_TRANSFORM);
}

/* The result of the pieces waits to be written when it turns out that it does not count. */
static void a_source_changes_under_pieces(void **state) {
  (void)state;
  char dir[] = "/tmp/lsio-engine-mapped-XXXXXX", path[64];
  assert_non_null(mkdtemp(dir));
  snprintf(path, sizeof path, "%s/out", dir);
  struct job j;
  begin(&j);
  add(&j, 0, SIZE);
  j.spec.piece = SIZE / 4;
  j.spec.sink.kind = LSI_SINK_RAW;
  struct lsi_sink_config sc = {.spec = &j.spec.sink, .path = path, .type = j.spec.type, .n_steps = 1,
                               .total = SIZE, .direct = LSI_DIRECT_ALWAYS};
  struct lsi_error e;
  lsi_error_clear(&e);
  const uint64_t pos[] = {0, SIZE};
  j.config.sink_pos = pos;
  int rc = lsi_sink_open(&sc, &j.config.sink, &e);
  if (rc == 0) {
    changed = true;
    const struct lsi_summary s = run(&j, LSIO_ERR_SOURCE);
    assert_int_equal(s.steps, 0);
    assert_int_equal(s.steps_failed, 1);
  } else {
    lsi_spec_clear(&j.spec);
  }
  assert_int_equal(rmdir(dir), 0);
  if (rc == LSIO_ERR_UNSUPPORTED) skip(); /* no direct writes here */
  assert_int_equal(rc, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_backend_breaks_while_bytes_are_lent),
      cmocka_unit_test(a_source_changes_under_a_unit),
      cmocka_unit_test(it_is_told_how_a_source_changed),
      cmocka_unit_test(many_units_wait_for_a_look),
      cmocka_unit_test(pages_are_lost_before_a_step_fails),
      cmocka_unit_test(a_read_finds_its_source_changed),
      cmocka_unit_test(a_read_is_asked_again_some_times),
      cmocka_unit_test(the_first_error_is_told),
      cmocka_unit_test(a_source_changes_under_pieces),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
