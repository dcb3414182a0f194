/* Steps of several compressed chunks against memory: each chunk is decoded into one buffer behind those
 * before it, which moves when it grows and is more than one chunk needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/codec.h"
#include "engine/state/engine.h"
#include "ground/mem.h"
#include "run_take.h"
#include "seams/os.h"
#include "test/mem_objects.h"
#include "step_transform.h"

#define CHUNKS 9u
#define ITEM 4u /* bytes of an element */

/* Elements of each chunk: their bytes are no multiples of a cache line, and the last make the buffer grow. */
static const uint32_t sizes[CHUNKS] = {1, 17, 333, 15, 1000, 31, 20000, 5, 90000};
static uint32_t *values[CHUNKS];
static unsigned wrong, seen;

static int t_step(void *state, struct lsi_step *s, struct lsi_error *err) {
  (void)state, (void)err;
  for (uint32_t i = 0; i < s->n_chunks; i++) {
    const struct lsi_chunk *c = &s->chunk[i];
    const uint32_t at = (uint32_t)c->tag;
    const bool same = c->n == sizes[at] && c->bytes == sizes[at] * ITEM &&
                      memcmp(c->data, values[at], sizes[at] * ITEM) == 0;
    wrong += !same;
    seen++;
  }
  return 0;
}

static const struct lsi_transform_ops transform = STEP_TRANSFORM(t_step);

/* All chunks as one frame each, one behind the other in one object. */
static size_t pack(enum lsi_codec codec, bool big, uint8_t *object, size_t room, int64_t *offset,
                   int64_t *length) {
  size_t used = 0;
  for (uint32_t i = 0; i < CHUNKS; i++) {
    uint32_t *stored = lsi_malloc(sizes[i] * ITEM);
    for (uint32_t k = 0; k < sizes[i]; k++)
      stored[k] = big ? __builtin_bswap32(values[i][k]) : values[i][k];
    const int64_t n = lsi_encode(codec, 0, stored, sizes[i] * ITEM, object + used, room - used);
    lsi_free(stored);
    assert_true(n > 0);
    offset[i] = (int64_t)used;
    length[i] = n;
    used += (size_t)n;
  }
  return used;
}

static void run(struct lsi_spec *spec, const struct lsi_mem_objects *objects) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsi_device_model model;
  lsi_device_preset((enum lsi_device_kind)0, &model);
  const struct lsi_plan_options options = {.merge = LSI_MERGE_AUTO, .n_devices = 1, .devices = &model};
  struct lsi_plan *plan;
  assert_int_equal(lsi_plan_build(spec->request, &options, &plan, &e), 0);
  struct lsi_run_config c = {.spec = spec, .plan = plan, .stores = lsi_mem_stores, .backend = &lsi_backend_mem,
                             .backend_user = objects, .sink_type = spec->type,
                             .sink_device = UINT32_MAX, .workers = 1, .share = 16u << 20};
  struct lsi_run *r;
  assert_int_equal(lsi_run_start(&c, &r, &e), 0);
  while (!lsi_run_ended(r))
    for (struct lsi_run_completion *d = run_take(r, 100000000), *then; d; d = then) {
      then = d->next;
      lsi_run_free_completion(d);
    }
  if (lsi_run_join(r, &e) != 0) fail_msg("%s", e.what);
  lsi_run_destroy(r);
  lsi_plan_free(plan);
}

static void chunks_of_a_step_lie_apart(void **state) {
  (void)state;
  static const enum lsi_codec codecs[] = {LSI_CODEC_LZ4, LSI_CODEC_ZSTD, LSI_CODEC_BLOSC};
  const size_t room = 1u << 20;
  for (size_t k = 0; k < 2 * LSI_COUNTOF(codecs); k++) {
    const bool big = k % 2;
    uint8_t *object = lsi_malloc(room);
    int64_t offset[CHUNKS], length[CHUNKS], tag[CHUNKS];
    uint32_t which[CHUNKS] = {0};
    const struct lsi_mem_object o = {"packed", object, pack(codecs[k / 2], big, object, room, offset, length), 1};
    const struct lsi_mem_objects objects = {.objects = &o, .n = 1, .copies = true};
    for (uint32_t i = 0; i < CHUNKS; i++) tag[i] = i;
    struct lsi_spec spec;
    lsi_spec_init(&spec);
    spec.type = (struct lsi_dtype){LSI_U32, big};
    spec.codec = (uint8_t)codecs[k / 2];
    spec.transform = &transform;
    spec.request = lsi_request_create();
    const struct lsi_object_info info = lsi_mem_info(&o);
    struct lsi_error e;
    lsi_error_clear(&e);
    assert_int_equal(lsi_request_add_object(spec.request, "packed", &info, NULL, &e), 0);
    /* Each chunk by itself, so that it becomes the largest seen only then; and all of them at once. */
    assert_int_equal(lsi_request_add_step(spec.request, CHUNKS, which, offset, length, tag, &e), 0);
    for (uint32_t i = 0; i < CHUNKS; i++)
      assert_int_equal(lsi_request_add_step(spec.request, 1, which, &offset[i], &length[i], &tag[i], &e), 0);
    seen = wrong = 0;
    run(&spec, &objects);
    assert_int_equal(seen, 2 * CHUNKS);
    assert_int_equal(wrong, 0);
    lsi_spec_clear(&spec);
    lsi_free(object);
  }
}

int main(void) {
  uint32_t v = 1;
  for (uint32_t i = 0; i < CHUNKS; i++) {
    values[i] = malloc(sizes[i] * ITEM);
    if (!values[i]) return 1;
    for (uint32_t k = 0; k < sizes[i]; k++) values[i][k] = v = v * 1664525u + (k & 15 ? 0 : 1013904223u);
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(chunks_of_a_step_lie_apart)};
  const int failed = cmocka_run_group_tests(tests, NULL, NULL);
  for (uint32_t i = 0; i < CHUNKS; i++) free(values[i]);
  return failed;
}
