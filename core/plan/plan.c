#include "plan/plan.h"

#include <string.h>

#include "ground/mem.h"
#include "plan/plan_impl.h"

static int no_memory(const struct lsi_request *r, struct lsi_error *err) {
  return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to plan %u chunks", r->n_chunks);
}

static uint64_t power_of_two_below(uint64_t x) {
  return UINT64_C(1) << (63 - (unsigned)__builtin_clzll(x));
}

/* Makes any model safe to divide by and to cut with. */
static void normalise(struct lsi_device_model *m) {
  if (m->op_max == 0 || m->op_max > LSI_OP_LONGEST) m->op_max = LSI_OP_LONGEST;
  m->op_max = LSI_MAX(lsi_round_down(m->op_max, LSI_ALIGN), (uint64_t)LSI_ALIGN);
  if (m->merge_max == 0) m->merge_max = m->op_max;
  m->merge_max = LSI_MIN(m->merge_max, (uint64_t)LSI_UNIT_MAX);
  const bool rates = m->conn_bandwidth > 0 && m->bandwidth > 0 && m->ops_per_s > 0;
  if (!rates || !(m->latency_s >= 0)) m->connections = 0;
  m->align = (uint32_t)power_of_two_below(LSI_MIN(LSI_MAX(m->align, 1u), LSI_UNIT_MAX));
}

static int check(const struct lsi_request *r, const struct lsi_plan_options *o,
                 struct lsi_error *err) {
  for (uint32_t i = 0; i < r->n_objects; i++) {
    if (r->object_device[i] < o->n_devices) continue;
    int code = lsi_fail(err, LSIO_ERR_USAGE, 0, "an object is on device %u of %u",
                        r->object_device[i], o->n_devices);
    lsi_error_at(err, lsi_request_name(r, i), LSI_NO_OFFSET, 0, LSI_NO_STEP);
    return code;
  }
  return 0;
}

/* Room for the worst case; pages that are never written cost nothing, and `shrink` gives the rest
 * back. The extents' array is also what sorting scratches in before there are any extents. */
static bool allocate(struct lsi_plan *p, const struct lsi_request *r) {
  _Static_assert(sizeof(struct lsi_extent) == 20, "20 bytes an extent");
  _Static_assert(sizeof(struct lsi_extent) >= LSI_PLAN_SORT_SCRATCH, "sorting fits in extents");
  p->sections = lsi_calloc((size_t)p->n_devices + 1, sizeof *p->sections);
  p->unit_extent = lsi_reallocarray(NULL, (size_t)r->n_steps + 1, sizeof *p->unit_extent);
  p->unit_step = lsi_reallocarray(NULL, (size_t)r->n_steps + 1, sizeof *p->unit_step);
  p->step_order = lsi_reallocarray(NULL, r->n_steps, sizeof *p->step_order);
  p->extents = lsi_reallocarray(NULL, r->n_chunks, sizeof *p->extents);
  if (!p->sections || !p->unit_extent || !p->unit_step || !p->step_order || !p->extents)
    return false;
  p->unit_extent[0] = p->unit_step[0] = 0;
  return true;
}

static void order_steps(struct lsi_plan *p, const struct lsi_request *r, bool in_request_order) {
  if (in_request_order)
    for (uint32_t i = 0; i < r->n_steps; i++) p->step_order[i] = i;
  else
    lsi_plan_sort(r, r->n_steps, r->step_first, p->n_devices > 1 ? r->object_device : NULL,
                  p->extents, p->step_order);
}

/* Distinct bytes of n ranges in any order: the chunks of r, or the extents at `e`, whose objects and offsets
 * r holds as if they were chunks. */
static int count_distinct(const struct lsi_request *r, uint32_t n, const struct lsi_extent *e, uint64_t *sum,
                          struct lsi_error *err) {
  uint32_t *order = lsi_reallocarray(NULL, n, sizeof *order);
  void *scratch = lsi_reallocarray(NULL, n, LSI_PLAN_SORT_SCRATCH);
  struct lsi_plan_distinct d = {0};
  const bool ready = order && scratch;
  if (ready) {
    lsi_plan_sort(r, n, NULL, NULL, scratch, order);
    for (uint32_t j = 0; j < n; j++) {
      const uint32_t i = order[j];
      lsi_plan_distinct_add(&d, r->object[i], r->offset[i], e ? e[i].length : r->length[i]);
    }
  }
  lsi_free(order);
  lsi_free(scratch);
  *sum = d.sum;
  return ready ? 0 : no_memory(r, err);
}

/* Those of all extents. */
static int count_extents(const struct lsi_plan *p, uint64_t *sum, struct lsi_error *err) {
  const uint32_t n = p->n_extents;
  struct lsi_request r = {.n_chunks = n, /* as much of one as is sorted by */
                          .object = lsi_reallocarray(NULL, n, sizeof *r.object),
                          .offset = lsi_reallocarray(NULL, n, sizeof *r.offset)};
  int code = r.object && r.offset ? 0 : no_memory(&r, err);
  for (uint32_t i = 0; !code && i < n; i++) {
    r.object[i] = p->extents[i].object;
    r.offset[i] = p->extents[i].offset;
  }
  if (!code) code = count_distinct(&r, n, p->extents, sum, err);
  lsi_free(r.object);
  lsi_free(r.offset);
  return code;
}

/* What is read beyond the distinct bytes asked for. The sweep has counted those, and those of its extents, if
 * it met them in order of place, as it does when steps have one chunk; else they are sorted for it here. */
static int count_over_read(struct lsi_plan *p, const struct lsi_request *r,
                           const struct lsi_plan_counted *swept, struct lsi_error *err) {
  uint64_t asked = swept->asked.sum, read = swept->read.sum;
  int code = swept->asked.disorder ? count_distinct(r, r->n_chunks, NULL, &asked, err) : 0;
  if (p->bytes_planned == asked) read = asked; /* there is nothing to tell apart */
  else if (!code && swept->read.disorder) code = count_extents(p, &read, err);
  if (code) return code;
  p->bytes_over_read = p->bytes_planned - asked;
  p->bytes_gaps = read - asked;
  p->bytes_twice = p->bytes_planned - read;
  return 0;
}

static void *smaller(void *p, uint64_t count, size_t size) {
  void *q = lsi_reallocarray(p, (size_t)count, size);
  return q ? q : p; /* the old block is as good */
}

static void shrink(struct lsi_plan *p) {
  p->extents = smaller(p->extents, p->n_extents, sizeof *p->extents);
  p->unit_extent = smaller(p->unit_extent, (uint64_t)p->n_units + 1, sizeof *p->unit_extent);
  p->unit_step = smaller(p->unit_step, (uint64_t)p->n_units + 1, sizeof *p->unit_step);
}

static int fill(struct lsi_plan *p, const struct lsi_request *r, const struct lsi_plan_options *o,
                struct lsi_error *err) {
  p->n_devices = o->n_devices;
  const uint64_t ahead = LSI_MIN(LSI_MAX(o->ahead, (uint64_t)LSI_AHEAD_LEAST), (uint64_t)LSI_OP_LONGEST);
  p->ahead = o->ahead ? lsi_round_up(ahead, LSI_ALIGN) : 0;
  p->devices = lsi_calloc(o->n_devices, sizeof *p->devices);
  struct lsi_plan_totals *totals = lsi_calloc(o->n_devices, sizeof *totals);
  struct lsi_plan_counted counted = {0};
  int code = 0;
  if (!p->devices || !totals || !allocate(p, r)) code = no_memory(r, err);
  if (!code) {
    for (uint32_t i = 0; i < o->n_devices; i++) {
      p->devices[i] = o->devices[i];
      normalise(&p->devices[i]);
    }
    order_steps(p, r, o->in_request_order);
    code = lsi_plan_adapt(r, p, err);
    if (!code) code = lsi_plan_sweep(r, o, p, totals, &counted, err);
  }
  if (!code) code = count_over_read(p, r, &counted, err);
  if (!code) {
    for (uint32_t i = 0; i < p->n_devices; i++) {
      const double s = lsi_device_seconds(&p->devices[i], (double)totals[i].operations,
                                          (double)totals[i].bytes);
      p->expected_s = LSI_MAX(p->expected_s, s);
    }
    if (p->ahead && r->late) p->unit_bytes_max = LSI_MAX(p->unit_bytes_max, lsi_ahead_buffer(p->ahead));
    shrink(p);
  }
  lsi_free(totals);
  return code;
}

/* A request in which chunks with faults are empty: nothing is read for them. Its lengths are its own. */
static int without_faults(const struct lsi_request *r, struct lsi_request *seen, struct lsi_error *err) {
  *seen = *r;
  seen->length = lsi_reallocarray(NULL, (size_t)r->n_chunks + 1, sizeof *seen->length);
  if (!seen->length) return no_memory(r, err);
  memcpy(seen->length, r->length, r->n_chunks * sizeof *seen->length);
  for (uint32_t i = 0; i < r->faults.n; i++) seen->length[r->faults.at[i].chunk] = 0;
  return 0;
}

int lsi_plan_build(const struct lsi_request *request, const struct lsi_plan_options *options,
                   struct lsi_plan **out, struct lsi_error *err) {
  *out = NULL;
  int code = check(request, options, err);
  if (code) return code;
  struct lsi_request seen;
  const bool faulty = request->faults.n != 0;
  if (faulty && (code = without_faults(request, &seen, err))) return code;
  struct lsi_plan *p = lsi_calloc(1, sizeof *p);
  code = p ? fill(p, faulty ? &seen : request, options, err) : no_memory(request, err);
  if (faulty) lsi_free(seen.length);
  if (code)
    lsi_plan_free(p);
  else
    *out = p;
  return code;
}

void lsi_plan_free(struct lsi_plan *p) {
  if (!p) return;
  lsi_free(p->devices);
  lsi_free(p->sections);
  lsi_free(p->unit_extent);
  lsi_free(p->unit_step);
  lsi_free(p->extents);
  lsi_free(p->step_order);
  lsi_free(p);
}

uint64_t lsi_plan_memory(const struct lsi_plan *p) {
  return sizeof *p + p->n_devices * (uint64_t)sizeof *p->devices +
         (p->n_devices + UINT64_C(1)) * sizeof *p->sections +
         (p->n_units + UINT64_C(1)) * (sizeof *p->unit_extent + sizeof *p->unit_step) +
         p->n_extents * (uint64_t)sizeof *p->extents +
         p->unit_step[p->n_units] * (uint64_t)sizeof *p->step_order;
}
