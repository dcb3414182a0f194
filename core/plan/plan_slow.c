/* Stores that answer slowly, over many connections. One gap does not fit all requests there: with few ranges
 * every one has a connection of its own and merging only makes replies longer, with many the connections'
 * time is what counts, then the link's, then the CPU's for each operation. So the gap is chosen for the
 * request: its own gaps are counted by their size, and what each choice would take is added up. */
#include <string.h>

#include "ground/mem.h"
#include "plan/plan_impl.h"

#define SIZES 41u               /* gaps of 2^40 bytes and more are never read through */
#define OPERATION_LEAST ((uint64_t)1 << 20) /* a chunk is not split further: each part costs CPU */
#define MERGED_LEAST ((uint64_t)256 << 10)
#define WORTH 2.0               /* times faster, or no more is read in gaps than was asked for */

/* What was found on one device. */
struct found {
  uint64_t chunks;        /* that are not empty */
  uint64_t bytes;
  uint64_t n[SIZES];      /* gaps of 0 bytes; then of [2^(i-1), 2^i) */
  uint64_t sum[SIZES];    /* of their bytes */
  uint32_t object;        /* of the last chunk */
  uint64_t end;
};

static unsigned size_of(uint64_t gap) { return gap ? 64u - (unsigned)__builtin_clzll(gap) : 0; }

static void count(struct found *f, uint32_t object, uint64_t offset, uint64_t length) {
  if (!length) return;
  if (f->chunks && f->object == object && offset + length > f->end) {
    const uint64_t gap = offset > f->end ? offset - f->end : 0;
    const unsigned i = size_of(gap);
    if (i < SIZES) f->n[i]++, f->sum[i] += gap;
  }
  if (!f->chunks || f->object != object) f->end = 0;
  f->object = object;
  f->end = LSI_MAX(f->end, offset + length);
  f->chunks++;
  f->bytes = lsi_sat_add(f->bytes, length);
}

/* The largest gap to read through, by which the whole takes least: 0 where only what touches is merged. */
static uint64_t choose_gap(const struct lsi_device_model *m, const struct found *f) {
  double operations = (double)f->chunks, bytes = (double)f->bytes, gaps = 0;
  double least = 0, modest = 0;
  uint64_t gap = 0;
  for (unsigned i = 0; i < SIZES; i++) {
    operations -= (double)f->n[i];
    gaps += (double)f->sum[i];
    /* Where an operation has become as long as it may, the gap behind it is not read. */
    const double n = LSI_MAX(operations, (bytes + gaps) / (double)m->merge_max);
    const double joints = (double)f->chunks - operations;
    const double in_gaps = joints > 0 ? gaps * LSI_MAX(1 - (n - operations) / joints, 0.0) : 0;
    const double s = lsi_device_seconds(m, n, bytes + in_gaps);
    if (in_gaps <= bytes && (!i || s < modest)) modest = s;
    if (i && !f->n[i]) continue; /* as the one before */
    if (i && (s >= least || (in_gaps > bytes && s * WORTH > modest))) continue;
    least = s;
    gap = ((uint64_t)1 << i) - 1;
  }
  return gap;
}

static uint64_t power_of_two_from(uint64_t x) {
  return x <= 1 ? 1 : UINT64_C(1) << (64 - (unsigned)__builtin_clzll(x - 1));
}

/* As many operations as there are connections, where there are bytes for them. */
static uint64_t part_of(const struct found *f, uint64_t connections, uint64_t least, uint64_t most) {
  const uint64_t part = power_of_two_from(f->bytes / LSI_MAX(connections, UINT64_C(1)));
  return LSI_MIN(LSI_MAX(part, LSI_MIN(least, most)), most);
}

static void adapt(struct lsi_device_model *m, const struct found *f) {
  m->op_max = part_of(f, m->connections, OPERATION_LEAST, m->op_max);
  m->merge_max = part_of(f, (uint64_t)m->connections * 2, MERGED_LEAST, m->merge_max);
  m->gap = choose_gap(m, f);
}

int lsi_plan_adapt(const struct lsi_request *r, struct lsi_plan *p, struct lsi_error *err) {
  bool any = false;
  for (uint32_t i = 0; i < p->n_devices; i++) any |= p->devices[i].connections != 0;
  if (!any) return 0;
  struct found *found = lsi_calloc(p->n_devices, sizeof *found);
  if (!found) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to plan");
  for (uint32_t j = 0; j < r->n_steps; j++) {
    const uint32_t step = p->step_order[j], end = lsi_request_chunk_end(r, step);
    for (uint32_t c = lsi_request_chunk_begin(r, step); c < end; c++)
      count(&found[r->object_device[r->object[c]]], r->object[c], r->offset[c], r->length[c]);
  }
  for (uint32_t i = 0; i < p->n_devices; i++)
    if (p->devices[i].connections && found[i].chunks) adapt(&p->devices[i], &found[i]);
  lsi_free(found);
  return 0;
}
