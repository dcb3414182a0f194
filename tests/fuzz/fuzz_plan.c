/* Fuzz target: a list of ranges as a file may hold it, turned into a request, planned and explained. Small
 * requests are judged byte by byte, of all the bounds are checked.
 *
 * Input: flags, options, then objects, then chunks; numbers little-endian (see the code). */
#include "plan/explain.h"
#include "fuzz.h"
#include "ground/mem.h"
#include "plan/plan.h"
#include "plan_oracle.h"

#define OBJECTS_MAX 4u
#define CHUNKS_MAX 200u
#define SMALL 2048u /* bytes of an object that the oracle walks over */

static void add_objects(struct fuzz_bytes *in, struct lsi_request *r, bool small, uint32_t devices) {
  const uint32_t n = 1 + (uint32_t)fuzz_take(in, 1) % OBJECTS_MAX;
  for (uint32_t i = 0; i < n; i++) {
    const struct lsi_object_info info = {
        .size = small ? fuzz_take(in, 2) % SMALL : fuzz_take(in, 8) & INT64_MAX};
    uint32_t index;
    FUZZ_CHECK(lsi_request_add_object(r, "object", &info, &index, NULL) == 0 && index == i);
    r->object_device[i] = (uint16_t)(fuzz_take(in, 1) % devices);
  }
}

/* A cut makes a chunk for each part: not millions of them here. */
static void cut(struct fuzz_bytes *in, struct lsi_request *r, uint32_t object, unsigned width,
                struct lsi_error *err) {
  const int64_t offset = (int64_t)(fuzz_take(in, width) << (64 - 8 * width)) >> (64 - 8 * width);
  const uint64_t length = fuzz_take(in, width);
  const uint64_t least = r->objects[object].size / CHUNKS_MAX + 1;
  uint64_t chunk = fuzz_take(in, width);
  if (chunk && chunk < least) chunk = least;
  lsi_request_cut(r, object, offset, length, chunk, err);
}

static void add_chunks(struct fuzz_bytes *in, struct lsi_request *r, unsigned width) {
  while (in->at < in->end && r->n_chunks < CHUNKS_MAX) {
    const unsigned what = (unsigned)fuzz_take(in, 1);
    uint32_t object[4];
    int64_t offset[4], length[4], tag[4];
    const uint32_t n = 1 + (what >> 2) % 4;
    struct lsi_error error;
    lsi_error_clear(&error);
    for (uint32_t i = 0; i < n; i++) {
      object[i] = (uint32_t)fuzz_take(in, 1) % (r->n_objects + (what == 255));
      offset[i] = (int64_t)(fuzz_take(in, width) << (64 - 8 * width)) >> (64 - 8 * width);
      length[i] = (int64_t)(fuzz_take(in, width) << (64 - 8 * width)) >> (64 - 8 * width);
      tag[i] = offset[i];
    }
    int rc = 0;
    const uint32_t before = r->n_chunks;
    if (what % 4 == 0) rc = lsi_request_add_step(r, n, object, offset, length, NULL, &error);
    if (what % 4 == 1) rc = lsi_request_add_chunks(r, n, object, offset, length, tag, &error);
    if (what % 4 == 2)
      rc = lsi_request_add_chunk(r, object[0], offset[0], length[0], 0, &error);
    if (what % 4 == 3 && object[0] < r->n_objects) cut(in, r, object[0], width, &error);
    FUZZ_CHECK((!rc || rc == LSIO_ERR_USAGE) && (!rc || error.code == rc));
    FUZZ_CHECK(!rc || r->n_chunks >= before);
  }
}

static void check_request(const struct lsi_request *r) {
  FUZZ_CHECK(r->n_steps <= r->n_chunks);
  for (uint32_t i = 0; i < r->n_chunks; i++) {
    FUZZ_CHECK(r->object[i] < r->n_objects);
    const uint64_t size = r->objects[r->object[i]].size;
    FUZZ_CHECK(r->offset[i] <= size && r->length[i] <= size - r->offset[i]);
  }
}

/* Of plans too large to look at every byte. */
static void check_plan(const struct lsi_request *r, const struct lsi_plan *p) {
  for (uint32_t u = 0; u < p->n_units; u++)
    for (uint32_t k = p->unit_step[u]; k < p->unit_step[u + 1]; k++) {
      const uint32_t step = p->step_order[k];
      FUZZ_CHECK(step < r->n_steps);
      for (uint32_t c = lsi_request_chunk_begin(r, step); c < lsi_request_chunk_end(r, step); c++) {
        uint32_t e = lsi_plan_find_extent(p, u, r->object[c], r->offset[c], r->length[c]);
        FUZZ_CHECK(e >= p->unit_extent[u] && e < p->unit_extent[u + 1]);
        const struct lsi_extent x = p->extents[e];
        FUZZ_CHECK(x.offset <= r->offset[c] && x.length >= r->length[c] &&
                   r->offset[c] - x.offset <= x.length - r->length[c]);
      }
    }
  for (uint32_t e = 0; e < p->n_extents; e++) {
    const struct lsi_extent x = p->extents[e];
    const uint64_t size = r->objects[x.object].size;
    FUZZ_CHECK(x.offset <= size && x.length <= size - x.offset);
  }
}

static void explain(const struct lsi_request *r, const struct lsi_plan *p) {
  const struct lsi_explain_input in = {.plan = p, .request = r, .workers = 2, .memory = 1 << 20,
                                       .backend = "uring"};
  char *text = lsi_explain_text(&in), *json = lsi_explain_json(&in);
  FUZZ_CHECK(text && *text && json && *json == '{');
  lsi_free(text);
  lsi_free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_bytes in = {data, data + size};
  const unsigned flags = (unsigned)fuzz_take(&in, 1);
  const bool small = flags & 1;
  struct lsi_device_model models[2];
  for (int i = 0; i < 2; i++)
    lsi_device_preset((enum lsi_device_kind)(fuzz_take(&in, 1) % LSI_DEVICE_KINDS), &models[i]);
  const uint64_t merges[] = {LSI_MERGE_AUTO, LSI_MERGE_NEVER, 0, fuzz_take(&in, 2)};
  const struct lsi_plan_options o = {.merge = merges[flags >> 1 & 3],
                                     .in_request_order = flags & 8,
                                     .n_devices = 2,
                                     .devices = models};
  struct lsi_request *r = lsi_request_create();
  FUZZ_CHECK(r);
  add_objects(&in, r, small, o.n_devices);
  add_chunks(&in, r, small ? 2 : 8);
  if (flags & 16)
    FUZZ_CHECK(!lsi_request_select(r, flags >> 5 & 1, 2 + (flags >> 6 & 1), flags >> 7, NULL));
  check_request(r);
  struct lsi_plan *p = NULL;
  struct lsi_error error;
  lsi_error_clear(&error);
  FUZZ_CHECK(lsi_plan_build(r, &o, &p, &error) == 0 && error.code == 0);
  const char *wrong = small ? plan_oracle_check(r, &o, p, 1) : NULL;
  if (wrong) fprintf(stderr, "%s\n", wrong);
  FUZZ_CHECK(!wrong);
  check_plan(r, p);
  explain(r, p);
  lsi_plan_free(p);
  lsi_request_free(r);
  return 0;
}
