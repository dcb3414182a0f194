#include "plan/request.h"

#include <inttypes.h>
#include <string.h>

#include "ground/mem.h"

struct lsi_request *lsi_request_create(void) { return lsi_calloc(1, sizeof(struct lsi_request)); }

void lsi_request_free(struct lsi_request *r) {
  if (!r) return;
  lsi_names_free(&r->names);
  lsi_free(r->objects);
  lsi_free(r->object_device);
  lsi_free(r->object);
  lsi_free(r->offset);
  lsi_free(r->length);
  lsi_free(r->tag);
  lsi_free(r->step_first);
  lsi_free(r->group_first);
  lsi_free(r->faults.at);
  lsi_free(r);
}

static int no_memory(struct lsi_error *err, uint64_t n, const char *what) {
  return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the request's %" PRIu64 " %s", n, what);
}

/* Resizes one array; on failure the old one stays valid and so does the request. */
static bool resize(void *array, uint64_t count, size_t size) {
  void **p = array;
  if (count > SIZE_MAX / size) return false;
  void *q = lsi_realloc(*p, (size_t)count * size);
  if (!q) return false;
  *p = q;
  return true;
}

/* Half as much again, so that adding one by one stays linear; at least `need`. */
static uint64_t grown(uint64_t cap, uint64_t need, uint64_t max) {
  const uint64_t next = cap + cap / 2 + 16;
  return LSI_MIN(LSI_MAX(next, need), max);
}

/* ---- Objects ---- */

int lsi_request_add_object(struct lsi_request *r, const char *name,
                           const struct lsi_object_info *info, uint32_t *index,
                           struct lsi_error *err) {
  if (info->size > INT64_MAX) {
    int code = lsi_fail(err, LSIO_ERR_SOURCE, 0, "an object says that it is %" PRIu64 " bytes long",
                        info->size);
    lsi_error_is(err, LSIO_KIND_UNSUPPORTED);
    lsi_error_at(err, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
    return code;
  }
  if (r->n_objects == UINT32_MAX)
    return lsi_fail(err, LSIO_ERR_LIMIT, 0, "a request has more than %" PRIu32 " objects",
                    UINT32_MAX);
  if (r->n_objects == r->objects_cap) {
    const uint64_t cap = grown(r->objects_cap, 0, UINT32_MAX);
    if (!resize(&r->objects, cap, sizeof *r->objects) ||
        !resize(&r->object_device, cap, sizeof *r->object_device))
      return no_memory(err, cap, "objects");
    r->objects_cap = (uint32_t)cap;
  }
  if (!lsi_names_add(&r->names, 0, name, strlen(name)))
    return no_memory(err, r->n_objects, "names");
  const uint32_t i = r->n_objects++;
  r->objects[i] = *info;
  r->object_device[i] = 0;
  if (index) *index = i;
  return 0;
}

int lsi_request_take_names(struct lsi_request *r, struct lsi_names *names, uint32_t *first,
                           struct lsi_error *err) {
  *first = r->n_objects;
  if (r->n_objects || names->n > UINT32_MAX) {
    static const struct lsi_object_info unknown;
    int rc = 0;
    for (uint64_t i = 0; rc >= 0 && i < names->n; i++)
      rc = lsi_request_add_object(r, lsi_names_get(names, i), &unknown, NULL, err);
    return rc;
  }
  struct lsi_object_info *objects = lsi_calloc(names->n, sizeof *objects);
  uint16_t *device = lsi_calloc(names->n, sizeof *device);
  if (!objects || !device) {
    lsi_free(objects);
    lsi_free(device);
    return no_memory(err, names->n, "objects");
  }
  lsi_free(r->objects);
  lsi_free(r->object_device);
  lsi_names_free(&r->names);
  r->objects = objects;
  r->object_device = device;
  r->names = *names;
  r->n_objects = r->objects_cap = (uint32_t)names->n;
  *names = (struct lsi_names){0};
  return 0;
}

void lsi_request_set_late(struct lsi_request *r, uint32_t object, const struct lsi_object_info *beside) {
  r->objects[object] = (struct lsi_object_info){
      .size = LSI_LATE_BYTES, .device = beside->device, .store = beside->store};
  r->late = true;
}

/* ---- Chunks ---- */

static int reserve_chunks(struct lsi_request *r, uint64_t more, bool exact, struct lsi_error *err) {
  uint64_t need;
  if (lsi_add_overflow((uint64_t)r->n_chunks, more, &need) || need > LSI_MAX_CHUNKS - 1) {
    int code = lsi_fail(err, LSIO_ERR_LIMIT, 0, "a request has more than %" PRIu32 " chunks",
                        LSI_MAX_CHUNKS - 1);
    lsi_error_remedy(err, "use larger chunks, or --shard");
    return code;
  }
  if (need <= r->chunks_cap) return 0;
  const uint64_t cap =
      exact && r->n_chunks == 0 ? need : grown(r->chunks_cap, need, LSI_MAX_CHUNKS - 1);
  if (!resize(&r->object, cap, sizeof *r->object) ||
      !resize(&r->offset, cap, sizeof *r->offset) ||
      !resize(&r->length, cap, sizeof *r->length) ||
      (r->tag && !resize(&r->tag, cap, sizeof *r->tag)))
    return no_memory(err, cap, "chunks");
  r->chunks_cap = (uint32_t)cap;
  return 0;
}

/* Room for n more steps of several chunks; from here on every step is listed. */
static int reserve_steps(struct lsi_request *r, uint64_t more, struct lsi_error *err) {
  const uint64_t need = (uint64_t)r->n_steps + more + 1;
  if (need > UINT32_MAX)
    return lsi_fail(err, LSIO_ERR_LIMIT, 0, "a request has more than %" PRIu32 " steps",
                    UINT32_MAX - 1);
  if (r->step_first && need <= r->steps_cap) return 0;
  const bool fresh = !r->step_first;
  const uint64_t cap = grown(r->steps_cap, need, UINT32_MAX);
  if (!resize(&r->step_first, cap, sizeof *r->step_first)) return no_memory(err, cap, "steps");
  r->steps_cap = (uint32_t)cap;
  if (fresh)
    for (uint32_t i = 0; i <= r->n_steps; i++) r->step_first[i] = i;
  return 0;
}

static int need_tags(struct lsi_request *r, struct lsi_error *err) {
  if (r->tag) return 0;
  r->tag = lsi_calloc(r->chunks_cap, sizeof *r->tag);
  return r->tag ? 0 : no_memory(err, r->chunks_cap, "tags");
}

int lsi_request_reserve(struct lsi_request *r, uint64_t chunks, struct lsi_error *err) {
  int code = reserve_chunks(r, chunks, true, err);
  return code || !r->step_first ? code : reserve_steps(r, chunks, err);
}

/* The chunk that comes next, or the one so far behind it, can't be had. */
static int keep_fault(struct lsi_request *r, uint64_t behind, uint32_t object, int64_t offset,
                      int64_t length, uint64_t *begin, uint64_t *bytes, struct lsi_error *err) {
  const bool of_object = r->objects[object].known & LSI_KNOWN_FAULT;
  *begin = (uint64_t)LSI_MAX(offset, (int64_t)0);
  *bytes = (uint64_t)LSI_MAX(length, (int64_t)0);
  return lsi_fault_add(r, &(struct lsi_fault){.chunk = r->n_chunks + (uint32_t)behind,
                                              .kind = of_object ? LSI_FAULT_OBJECT : LSI_FAULT_OUTSIDE,
                                              .offset = offset,
                                              .length = length}, err);
}

/* The range as absolute offset and length, checked against the object, of the i-th chunk that is to come. */
static int resolve(struct lsi_request *r, uint64_t i, uint32_t object, int64_t offset, int64_t length,
                   uint64_t *begin, uint64_t *bytes, struct lsi_error *err) {
  if (LSI_UNLIKELY(object >= r->n_objects))
    return lsi_fail(err, LSIO_ERR_USAGE, 0,
                    "a chunk names object %" PRIu32 ", but there are %" PRIu32
                    " (counted from 0)",
                    object, r->n_objects);
  const int64_t size = (int64_t)r->objects[object].size;
  const int64_t at = offset < 0 ? offset + size : offset;
  if (LSI_UNLIKELY(r->objects[object].known & LSI_KNOWN_FAULT) && length >= LSI_TO_END)
    return keep_fault(r, i, object, offset, length, begin, bytes, err);
  if (LSI_LIKELY(at >= 0 && at <= size && length >= LSI_TO_END && length <= size - at)) {
    *begin = (uint64_t)at;
    *bytes = (uint64_t)(length == LSI_TO_END ? size - at : length);
    return 0;
  }
  if (r->keeps & LSI_KEEP_ALL && length >= LSI_TO_END)
    return keep_fault(r, i, object, offset, length, begin, bytes, err);
  return lsi_fault_outside(r, object, offset, length, LSIO_ERR_USAGE, err);
}

/* Writes n checked chunks behind the last one without counting them yet, so that a failure leaves the
 * request as it was. */
static int write_chunks(struct lsi_request *r, uint64_t n, bool one_step, const uint32_t *object,
                        const int64_t *offset, const int64_t *length, const int64_t *tag,
                        struct lsi_error *err) {
  int code = reserve_chunks(r, n, true, err);
  if (code) return code;
  const uint32_t base = r->n_chunks, n_faults = r->faults.n;
  bool tagged = r->tag != NULL;
  for (uint64_t i = 0; i < n; i++) {
    uint64_t begin = 0, bytes = 0;
    code = resolve(r, i, object[i], offset[i], length[i], &begin, &bytes, err);
    if (LSI_UNLIKELY(code != 0)) {
      r->faults.n = n_faults;
      lsi_error_at(err, NULL, LSI_NO_OFFSET, 0, r->n_steps + (one_step ? 0 : i));
      return code;
    }
    r->object[base + i] = object[i];
    r->offset[base + i] = begin;
    r->length[base + i] = bytes;
    tagged |= tag && tag[i];
  }
  if (!tagged) return 0;
  code = need_tags(r, err);
  if (code) r->faults.n = n_faults;
  if (code) return code;
  if (tag)
    memcpy(r->tag + base, tag, n * sizeof *tag);
  else
    memset(r->tag + base, 0, n * sizeof *r->tag);
  return 0;
}

int lsi_request_add_chunks(struct lsi_request *r, uint64_t n, const uint32_t *object,
                           const int64_t *offset, const int64_t *length, const int64_t *tag,
                           struct lsi_error *err) {
  if (n == 0) return 0;
  int code = write_chunks(r, n, false, object, offset, length, tag, err);
  if (!code && r->step_first) code = reserve_steps(r, n, err);
  if (code) return code;
  if (r->step_first)
    for (uint32_t i = 0; i < n; i++) r->step_first[r->n_steps + 1 + i] = r->n_chunks + 1 + i;
  r->n_chunks += (uint32_t)n;
  r->n_steps += (uint32_t)n;
  return 0;
}

int lsi_request_add_chunk(struct lsi_request *r, uint32_t object, int64_t offset, int64_t length,
                          int64_t tag, struct lsi_error *err) {
  return lsi_request_add_chunks(r, 1, &object, &offset, &length, &tag, err);
}

int lsi_request_add_step(struct lsi_request *r, uint32_t n, const uint32_t *object,
                         const int64_t *offset, const int64_t *length, const int64_t *tag,
                         struct lsi_error *err) {
  if (n == 0) return lsi_fail(err, LSIO_ERR_USAGE, 0, "a step has no chunk");
  if (n == 1) return lsi_request_add_chunks(r, 1, object, offset, length, tag, err);
  int code = write_chunks(r, n, true, object, offset, length, tag, err);
  if (!code) code = reserve_steps(r, 1, err);
  if (code) return code;
  r->n_chunks += n;
  r->step_first[++r->n_steps] = r->n_chunks;
  return 0;
}

/* How many of so many bytes. */
static uint64_t count_cuts(uint64_t length, uint64_t chunk) {
  return length == 0 ? 1 : length / chunk + (length % chunk != 0);
}

/* A range of which not all can be had. Where it is not known what its chunks are, they are one. */
static int cut_faulty(struct lsi_request *r, uint32_t object, int64_t offset, uint64_t length, uint64_t chunk,
                      struct lsi_error *err) {
  if (length == UINT64_MAX) return lsi_request_add_chunk(r, object, offset, LSI_TO_END, 0, err);
  const bool known = !(r->objects[object].known & LSI_KNOWN_FAULT);
  if (known && offset < 0) {
    const int64_t at = offset + (int64_t)r->objects[object].size;
    if (at < 0) chunk = 0;
    else offset = at;
  }
  if (chunk == 0 || chunk > length) chunk = length;
  const uint64_t n = count_cuts(length, chunk);
  int code = lsi_request_reserve(r, n, err);
  for (uint64_t i = 0; !code && i < n; i++) {
    int64_t at;
    if (__builtin_add_overflow(offset, (int64_t)(i * chunk), &at))
      return lsi_fault_outside(r, object, offset, (int64_t)length, LSIO_ERR_USAGE, err);
    code = lsi_request_add_chunk(r, object, at, (int64_t)LSI_MIN(chunk, length - i * chunk), 0, err);
  }
  return code;
}

int lsi_request_cut(struct lsi_request *r, uint32_t object, int64_t offset, uint64_t length,
                    uint64_t chunk, struct lsi_error *err) {
  if (object >= r->n_objects) {
    uint64_t unused;
    return resolve(r, 0, object, 0, 0, &unused, &unused, err);
  }
  const int64_t size = (int64_t)r->objects[object].size;
  const int64_t at = offset < 0 ? offset + size : offset;
  const bool inside = at >= 0 && at <= size && (length == UINT64_MAX || length <= (uint64_t)(size - at));
  if (r->objects[object].known & LSI_KNOWN_FAULT || (!inside && r->keeps & LSI_KEEP_ALL))
    return cut_faulty(r, object, offset, length, chunk, err);
  if (!inside) {
    const int64_t asked = length == UINT64_MAX ? LSI_TO_END : (int64_t)LSI_MIN(length, (uint64_t)INT64_MAX);
    return lsi_fault_outside(r, object, offset, asked, LSIO_ERR_USAGE, err);
  }
  if (length == UINT64_MAX) length = (uint64_t)(size - at);
  if (chunk == 0 || chunk > length) chunk = length;
  const uint64_t n = count_cuts(length, chunk);
  int code = reserve_chunks(r, n, false, err);
  if (!code && r->step_first) code = reserve_steps(r, n, err);
  if (code) return code;
  for (uint64_t i = 0; i < n; i++) {
    const uint32_t c = r->n_chunks++;
    r->object[c] = object;
    r->offset[c] = (uint64_t)at + i * chunk;
    r->length[c] = LSI_MIN(chunk, length - i * chunk);
    if (r->tag) r->tag[c] = 0;
    r->n_steps++;
    if (r->step_first) r->step_first[r->n_steps] = r->n_chunks;
  }
  return 0;
}

/* ---- Selection ---- */

/* floor(i * s / n) without overflow: all three fit in 32 bits. */
static uint32_t share(uint32_t i, uint32_t s, uint32_t n) {
  return (uint32_t)((uint64_t)i * s / n);
}

static void keep(void *array, uint32_t first, uint32_t count, size_t size) {
  void **p = array;
  if (!*p) return;
  memmove(*p, (char *)*p + (size_t)first * size, (size_t)count * size);
  void *q = lsi_realloc(*p, (size_t)count * size); /* gives memory back; may fail harmlessly */
  if (q) *p = q;
}

/* Of steps [begin, end), which become the first ones. */
static void select_groups(struct lsi_request *r, uint32_t begin, uint32_t end) {
  if (!r->group_first) return;
  uint32_t n = 0;
  for (uint32_t i = 0; begin < end && i < r->n_groups && r->group_first[i] < end; i++)
    if (r->group_first[i + 1] > begin) r->group_first[n++] = LSI_MAX(r->group_first[i], begin) - begin;
  r->group_first[n] = end - begin;
  r->n_groups = n;
}

static void select_steps(struct lsi_request *r, uint32_t begin, uint32_t end) {
  if (begin == 0 && end == r->n_steps) return;
  const uint32_t c0 = lsi_request_chunk_begin(r, begin);
  const uint32_t c1 = begin == end ? c0 : lsi_request_chunk_end(r, end - 1);
  keep(&r->object, c0, c1 - c0, sizeof *r->object);
  keep(&r->offset, c0, c1 - c0, sizeof *r->offset);
  keep(&r->length, c0, c1 - c0, sizeof *r->length);
  keep(&r->tag, c0, c1 - c0, sizeof *r->tag);
  keep(&r->step_first, begin, end - begin + 1, sizeof *r->step_first);
  if (r->step_first) {
    for (uint32_t k = 0; k <= end - begin; k++) r->step_first[k] -= c0;
    r->steps_cap = end - begin + 1;
  }
  lsi_faults_select(r, c0, c1);
  r->n_chunks = r->chunks_cap = c1 - c0;
  select_groups(r, begin, end);
  r->n_steps = end - begin;
  r->first_index += begin;
}

int lsi_request_select(struct lsi_request *r, uint32_t i, uint32_t n, uint64_t limit,
                       struct lsi_error *err) {
  if (n == 0 || i >= n)
    return lsi_fail(err, LSIO_ERR_USAGE, 0,
                    "shard %" PRIu32 " of %" PRIu32 " does not exist (shards count from 0)", i, n);
  const uint32_t begin = share(i, r->n_steps, n);
  uint32_t end = share(i + 1, r->n_steps, n);
  if (limit && limit < end - begin) end = begin + (uint32_t)limit;
  select_steps(r, begin, end);
  if (r->cut) r->cut_most = limit;
  return 0;
}

bool lsi_request_select_step(struct lsi_request *r, uint64_t index) {
  if (index < r->first_index || index - r->first_index >= r->n_steps) return false;
  const uint32_t step = (uint32_t)(index - r->first_index);
  select_steps(r, step, step + 1);
  return true;
}

static int check_groups(const int64_t *group, uint64_t n, uint32_t *n_groups, struct lsi_error *err) {
  *n_groups = n > 0;
  for (uint64_t i = 0; i < n; i++) {
    if (group[i] < 0)
      return lsi_fail(err, LSIO_ERR_USAGE, 0,
                      "the group of step %" PRIu64 " is %" PRId64 "; groups count from 0", i, group[i]);
    if (i && group[i] < group[i - 1])
      return lsi_fail(err, LSIO_ERR_USAGE, 0,
                      "the group of step %" PRIu64 " is %" PRId64 ", but that of the step before it %" PRId64
                      ": groups never fall along a request",
                      i, group[i], group[i - 1]);
    *n_groups += i && group[i] != group[i - 1];
  }
  return 0;
}

int lsi_request_set_groups(struct lsi_request *r, const int64_t *group, uint64_t n, struct lsi_error *err) {
  uint32_t n_groups;
  int rc = check_groups(group, n, &n_groups, err);
  if (rc < 0) return rc;
  if (n != r->n_steps)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "there are %" PRIu64 " groups of steps, but %" PRIu32 " steps", n,
                    r->n_steps);
  lsi_free(r->group_first);
  r->n_groups = 0;
  r->group_first = lsi_reallocarray(NULL, (size_t)n_groups + 1, sizeof *r->group_first);
  if (!r->group_first) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the groups of a request");
  for (uint32_t i = 0; i < r->n_steps; i++)
    if (i == 0 || group[i] != group[i - 1]) r->group_first[r->n_groups++] = i;
  r->group_first[r->n_groups] = r->n_steps;
  return 0;
}

uint64_t lsi_request_bytes(const struct lsi_request *r) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < r->n_chunks; i++) {
    if (r->late && !(r->objects[r->object[i]].known & LSI_KNOWN_SIZE)) continue;
    if (lsi_add_overflow(sum, r->length[i], &sum)) return UINT64_MAX;
  }
  return sum;
}

uint64_t lsi_request_memory(const struct lsi_request *r) {
  const uint64_t chunk = sizeof *r->object + sizeof *r->offset + sizeof *r->length;
  const uint64_t object = sizeof *r->objects + sizeof *r->object_device;
  return sizeof *r + r->names.capacity + r->names.at_capacity * sizeof *r->names.at +
         r->objects_cap * object + r->chunks_cap * chunk +
         r->faults.cap * (uint64_t)sizeof *r->faults.at +
         (r->tag ? r->chunks_cap * (uint64_t)sizeof *r->tag : 0) +
         (r->step_first ? r->steps_cap * (uint64_t)sizeof *r->step_first : 0) +
         (r->group_first ? (r->n_groups + 1u) * (uint64_t)sizeof *r->group_first : 0);
}
