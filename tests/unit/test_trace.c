/* Rings of events: what they keep, also while they are written to, and their form for Chrome and Perfetto. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "ground/mem.h"
#include "job/trace.h"
#include "lsio.h"
#include "seams/os.h"

static void off_is_nothing(void **unused) {
  (void)unused;
  lsi_trace_add(NULL, LSI_TRACE_READ, 1, 2, 3, 4, 5);
  lsi_trace_free(NULL);
}

/* Event i, all of whose fields tell i. */
static void add(struct lsi_trace_ring *r, uint64_t i) {
  lsi_trace_add(r, (enum lsi_trace_kind)(i % LSI_TRACE_KINDS), 1000 + 10 * i, 1000 + 10 * i + i % 7, (uint32_t)i, i,
                3 * i);
}

static bool is(const struct lsi_trace_event *e, uint64_t i) {
  return e->kind == i % LSI_TRACE_KINDS && e->begin_ns == 1000 + 10 * i && e->end_ns == e->begin_ns + i % 7 &&
         e->job == (uint32_t)i && e->step == i && e->bytes == 3 * i;
}

static void a_ring_keeps_the_latest(void **unused) {
  (void)unused;
  struct lsi_trace *t = lsi_trace_create(2, 100);
  const uint64_t holds = t->rings[0].mask;
  assert_in_range(holds, 100, 200);
  struct lsi_trace_event *out = calloc(holds, sizeof *out);
  uint64_t lost;
  assert_int_equal(lsi_trace_copy(&t->rings[0], out, &lost), 0);
  assert_int_equal(lost, 0);
  for (uint64_t n = 1; n < 3 * holds; n++) {
    add(&t->rings[0], n - 1);
    const size_t got = lsi_trace_copy(&t->rings[0], out, &lost);
    assert_int_equal(got, LSI_MIN(n, holds));
    assert_int_equal(lost, n - got);
    for (size_t i = 0; i < got; i++) assert_true(is(&out[i], lost + i));
  }
  assert_int_equal(lsi_trace_copy(&t->rings[1], out, &lost), 0);
  free(out);
  lsi_trace_free(t);
}

struct busy {
  struct lsi_trace_ring *ring;
  atomic_bool stop;
  uint64_t n;
};

static void write_events(void *arg) {
  struct busy *b = arg;
  while (!atomic_load(&b->stop)) add(b->ring, b->n++);
}

/* Copies made meanwhile hold whole events, one after the other. */
static void a_ring_is_read_while_it_is_written(void **unused) {
  (void)unused;
  struct lsi_trace *t = lsi_trace_create(1, 500);
  struct busy b = {.ring = &t->rings[0]};
  struct lsi_thread *thread;
  struct lsi_trace_event *out = calloc(t->rings[0].mask, sizeof *out);
  assert_int_equal(lsi_os_thread_start(&thread, "writer", write_events, &b), 0);
  uint64_t before = 0, lost;
  for (int round = 0; round < 300;) {
    const size_t n = lsi_trace_copy(b.ring, out, &lost);
    for (size_t i = 0; i < n; i++)
      if (!is(&out[i], lost + i)) fail_msg("round %d: event %d of %d is torn", round, (int)i, (int)n);
    assert_true(lost + n >= before);
    round += lost + n > before; /* the writer is at work */
    before = lost + n;
  }
  atomic_store(&b.stop, true);
  lsi_os_thread_join(thread);
  assert_int_equal(lsi_trace_copy(b.ring, out, &lost), LSI_MIN(b.n, b.ring->mask));
  free(out);
  lsi_trace_free(t);
}

static json_t *written(struct lsi_trace *t) {
  char *text = NULL;
  size_t length = 0;
  FILE *to = open_memstream(&text, &length);
  assert_non_null(to);
  assert_int_equal(lsi_trace_write(t, to), 0);
  fclose(to);
  json_error_t e;
  json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, &e);
  if (!o) fail_msg("%s at %d: %s", e.text, e.position, text);
  free(text);
  return o;
}

static const char *string(json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }

static void the_export_is_chromes(void **unused) {
  (void)unused;
  struct lsi_trace *t = lsi_trace_create(2, 8);
  lsi_trace_name(&t->rings[0], "worker \"0\"\n and a name that is much too long for it");
  lsi_trace_add(&t->rings[0], LSI_TRACE_TRANSFORM, 5000123456, 5000125460, 7, 11, 4096);
  const struct lsi_trace_event read = {5000120000, 5000121001, INT64_MAX - 1, UINT32_MAX, 8, LSI_TRACE_READ,
                                       UINT32_MAX - 1, LSI_TRACE_SHORT},
                               write = {5000120000, 5000120000, 4096, 65536, 9, LSI_TRACE_WRITE, UINT32_MAX,
                                        LSIO_ERR_BUG};
  lsi_trace_put(&t->rings[1], &read);
  lsi_trace_put(&t->rings[1], &write);
  lsi_trace_add(&t->rings[1], LSI_TRACE_IDLE, 5000130000, 5000129000, 0, LSI_TRACE_NONE, 0); /* a clock that errs */
  json_t *o = written(t);
  static const char want[] =
      "[{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"args\":{\"name\":\"lsio\"}},"
      "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":1,\"args\":{\"name\":\"worker ?0?? and a name \"}},"
      "{\"name\":\"thread_sort_index\",\"ph\":\"M\",\"pid\":1,\"tid\":1,\"args\":{\"sort_index\":0}},"
      "{\"name\":\"transform\",\"cat\":\"lsio\",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":3.456,\"dur\":2.004,"
      "\"args\":{\"job\":7,\"step\":11,\"bytes\":4096}},"
      "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":2,\"args\":{\"name\":\"thread 1\"}},"
      "{\"name\":\"thread_sort_index\",\"ph\":\"M\",\"pid\":1,\"tid\":2,\"args\":{\"sort_index\":1}},"
      "{\"name\":\"read\",\"cat\":\"lsio\",\"ph\":\"b\",\"pid\":1,\"tid\":2,\"ts\":0.0,\"id\":\"2\","
      "\"args\":{\"job\":8,\"object\":4294967294,\"offset\":9223372036854775806,\"length\":4294967295,"
      "\"outcome\":\"short\"}},"
      "{\"name\":\"read\",\"cat\":\"lsio\",\"ph\":\"e\",\"pid\":1,\"tid\":2,\"ts\":1.001,\"id\":\"2\"},"
      "{\"name\":\"write\",\"cat\":\"lsio\",\"ph\":\"b\",\"pid\":1,\"tid\":2,\"ts\":0.0,\"id\":\"3\","
      "\"args\":{\"job\":9,\"offset\":4096,\"length\":65536,\"outcome\":\"LSIO_ERR_BUG\"}},"
      "{\"name\":\"write\",\"cat\":\"lsio\",\"ph\":\"e\",\"pid\":1,\"tid\":2,\"ts\":0.0,\"id\":\"3\"},"
      "{\"name\":\"idle\",\"cat\":\"lsio\",\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":10.0,\"dur\":0.0,\"args\":{}}]";
  json_t *expected = json_loads(want, 0, NULL), *events = json_object_get(o, "traceEvents");
  assert_non_null(expected);
  if (!json_equal(expected, events)) fail_msg("%s", json_dumps(events, JSON_COMPACT));
  assert_string_equal(string(o, "displayTimeUnit"), "ns");
  assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "otherData"), "lost_events")), 0);
  json_decref(expected);
  json_decref(o);
  lsi_trace_free(t);
}

/* Whatever a ring holds is JSON, and what it no longer holds is counted. */
static void any_event_can_be_exported(void **unused) {
  (void)unused;
  struct lsi_trace *t = lsi_trace_create(1, 64);
  const uint64_t holds = t->rings[0].mask;
  const struct lsi_trace_event odd = {UINT64_MAX, 0, INT64_MAX - 1, INT64_MAX, UINT32_MAX, UINT32_MAX, 7,
                                      INT32_MIN};
  lsi_trace_put(&t->rings[0], &odd);
  json_decref(written(t));
  for (uint64_t i = 0; i < 2 * holds; i++) add(&t->rings[0], i);
  json_t *o = written(t);
  size_t n = 0, i;
  json_t *e;
  json_array_foreach(json_object_get(o, "traceEvents"), i, e)
    n += strcmp(string(e, "ph"), "X") == 0 || strcmp(string(e, "ph"), "b") == 0;
  assert_int_equal(n, holds);
  assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "otherData"), "lost_events")), holds + 1);
  json_decref(o);
  lsi_trace_free(t);
}

static void what_can_fail_does(void **unused) {
  (void)unused;
  const int64_t live = lsi_mem_live();
  for (uint64_t nth = 1; nth <= 4; nth++) {
    lsi_mem_fail_nth(nth, false);
    assert_null(lsi_trace_create(2, 10));
    lsi_mem_fail_nth(0, false);
    assert_int_equal(lsi_mem_live(), live);
  }
  struct lsi_trace *t = lsi_trace_create(2, 10);
  add(&t->rings[0], 1);
  FILE *full = fopen("/dev/full", "we");
  if (full) {
    errno = 0;
    assert_int_equal(lsi_trace_write(t, full), LSIO_ERR_IO);
    assert_int_equal(errno, ENOSPC);
    fclose(full);
  }
  for (uint64_t nth = 1; nth <= 3; nth++) {
    lsi_mem_fail_nth(nth, false);
    assert_int_equal(lsi_trace_write(t, stderr), LSIO_ERR_NOMEM);
    lsi_mem_fail_nth(0, false);
  }
  lsi_trace_free(t);
  assert_int_equal(lsi_mem_live(), live);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(off_is_nothing),
      cmocka_unit_test(a_ring_keeps_the_latest),
      cmocka_unit_test(a_ring_is_read_while_it_is_written),
      cmocka_unit_test(the_export_is_chromes),
      cmocka_unit_test(any_event_can_be_exported),
      cmocka_unit_test(what_can_fail_does),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
