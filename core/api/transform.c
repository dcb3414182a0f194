/* Transforms in C: the functions that a program gave, in the place of a script's. A step is one call of its
 * function; nothing is allocated for it, and no clock is read. */
#include "api/transform.h"

#include <stdlib.h>
#include <string.h>

#include "ground/mem.h"

#define MESSAGE 512
#define MOST_ALIGN ((size_t)2 << 20)

/* One of a job's; on cache lines of its own, since it writes here at every step. */
struct lsi_c_worker {
  _Alignas(LSI_CACHE_LINE) struct lsio_step step;
  struct lsi_c_transform *of;
  void *state;        /* the program's, or `bytes` */
  void *bytes;        /* NULL: none */
  void *backup;       /* of the bytes, before each step, when failed steps are skipped */
  size_t backup_size;
  bool asks;          /* the program saves and undoes by itself */
  bool counts;        /* the job has out_max */
  bool open;          /* the program has been told of the state, and not yet of its end */
  bool ended;         /* well, after a step: the state is to be merged */
  unsigned index;
  struct lsi_c_worker *next;
  char message[MESSAGE];
};

/* What programs have been compiled with. */
#define AT(field, offset) \
  _Static_assert(offsetof(struct lsio_step, field) == (offset), "struct lsio_step may only grow")
AT(size, 0);
AT(flags, 4);
AT(data, 8);
AT(bytes, 16);
AT(n, 24);
AT(out, 32);
AT(out_n, 40);
AT(scratch, 48);
AT(scratch_bytes, 56);
AT(index, 64);
AT(pos, 72);
AT(object, 80);
AT(object_size, 88);
AT(offset, 96);
AT(length, 104);
AT(tag, 112);
AT(name, 120);
AT(name_length, 128);
AT(type, 136);
AT(out_type, 144);
AT(item, 152);
AT(out_item, 156);
AT(worker, 160);
AT(n_chunks, 164);
AT(user, 168);
AT(message, 176);
AT(message_size, 184);
AT(stop, 192);
#undef AT
_Static_assert(sizeof(struct lsio_step) == 200, "struct lsio_step has grown: say so in the header");

/* ---- what may go wrong ---- */

static int code_of(int32_t returned) {
  switch (returned) {
  case LSIO_ERR_CORRUPT:
  case LSIO_ERR_LIMIT:
  case LSIO_ERR_UNSUPPORTED:
  case LSIO_ERR_NOMEM: return returned;
  default: return LSIO_ERR_TRANSFORM;
  }
}

/* `where` is the function's name. */
static int failed(struct lsi_error *err, const char *where, int32_t returned, char message[MESSAGE]) {
  message[MESSAGE - 1] = '\0';
  const int code = code_of(returned);
  if (message[0]) return lsi_fail(err, code, 0, "%s", message);
  return lsi_fail(err, code, 0, "%s of the program's transform returned %d and gave no message", where,
                  returned);
}

/* ---- open and close ---- */

static int make_state(struct lsi_c_worker *w, struct lsi_error *err) {
  const struct lsi_c_transform *t = w->of;
  if (t->state_bytes) {
    const size_t align = LSI_MAX(t->c.state_align, (size_t)LSI_CACHE_LINE);
    w->bytes = lsi_alloc_aligned(align, t->state_bytes); /* zeroed */
    if (!w->bytes)
      return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a state of %zu bytes of worker %u",
                      t->state_bytes, w->index);
    if (t->begin) memcpy(w->bytes, t->begin, t->state_bytes);
  }
  w->state = w->bytes;
  if (t->c.open_worker) {
    void *state = w->bytes;
    const int32_t rc = t->c.open_worker(t->c.user, w->index, &state, w->message, MESSAGE);
    if (rc < 0) return failed(err, "open_worker", rc, w->message);
    if (!w->bytes) w->state = state;
  }
  w->open = true;
  return 0;
}

static int keep_backup(struct lsi_c_worker *w, struct lsi_error *err) {
  const struct lsi_c_transform *t = w->of;
  if (t->spec->on_error != LSI_ON_ERROR_SKIP) return 0;
  w->asks = t->c.undo != NULL;
  if (w->asks || !w->bytes) return 0;
  w->backup = lsi_malloc(t->state_bytes);
  if (!w->backup) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the state of worker %u", w->index);
  w->backup_size = t->state_bytes;
  return 0;
}

/* Gives back all but its place in the list. */
static void close_state(struct lsi_c_worker *w) {
  const struct lsi_c_transform *t = w->of;
  if (w->open && t->c.close) t->c.close(t->c.user, w->state);
  w->open = w->ended = false;
  lsi_free(w->bytes);
  lsi_free(w->backup);
  w->state = w->bytes = w->backup = NULL;
}

static struct lsi_c_worker *open_one(struct lsi_c_transform *t, unsigned index, struct lsi_error *err) {
  struct lsi_c_worker *w = lsi_alloc_aligned(LSI_CACHE_LINE, sizeof *w); /* zeroed */
  if (!w) {
    lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for worker %u of a job", index);
    return NULL;
  }
  w->of = t;
  w->index = index;
  if (make_state(w, err) < 0 || keep_backup(w, err) < 0) {
    close_state(w);
    lsi_free(w);
    return NULL;
  }
  w->next = atomic_load(&t->workers);
  while (!atomic_compare_exchange_weak(&t->workers, &w->next, w)) continue;
  return w;
}

static int open_worker(void *job, unsigned worker, unsigned thread, struct lsi_step *step, void **state,
                       struct lsi_error *err) {
  struct lsi_c_transform *t = job;
  (void)thread;
  struct lsi_error why;
  lsi_error_clear(&why);
  struct lsi_c_worker *w = open_one(t, worker, &why);
  if (!w) {
    if (err && !err->code) *err = why;
    return why.code;
  }
  const struct lsi_spec *spec = t->spec;
  w->counts = spec->has_out_max;
  w->step = (struct lsio_step){.size = sizeof w->step,
                               .type = lsi_type_name(spec->type.type),
                               .out_type = lsi_type_name(t->out_type.type),
                               .item = (uint32_t)lsi_type_size(spec->type.type),
                               .out_item = (uint32_t)lsi_type_size(t->out_type.type),
                               .worker = worker,
                               .n_chunks = 1,
                               .user = t->c.user,
                               .message = w->message,
                               .message_size = MESSAGE,
                               .stop = step->stop};
  *state = w;
  return 0;
}

static int finish(void *state, struct lsi_error *err) {
  struct lsi_c_worker *w = state;
  const struct lsi_c_transform *t = w->of;
  w->message[0] = '\0';
  const int32_t rc = t->c.finish ? t->c.finish(t->c.user, w->state, w->message, MESSAGE) : 0;
  if (rc < 0) return failed(err, "finish", rc, w->message);
  w->ended = t->begin || t->c.merge;
  return 0;
}

static void close_worker(void *state) {
  struct lsi_c_worker *w = state;
  if (!w->ended) close_state(w);
}

/* ---- a step ---- */

static void undo(void *state) {
  struct lsi_c_worker *w = state;
  if (w->backup_size) memcpy(w->bytes, w->backup, w->backup_size);
  if (w->asks) w->of->c.undo(w->of->c.user, w->state);
}

static void save(struct lsi_c_worker *w) {
  const struct lsi_c_transform *t = w->of;
  if (w->backup_size) memcpy(w->backup, w->bytes, w->backup_size);
  if (w->asks && t->c.save) t->c.save(t->c.user, w->state);
}

/* Counts come as doubles, which LuaJIT reads as plain numbers; all are below 2^63. */
static inline uint64_t whole(double n) { return (uint64_t)(int64_t)n; }

static inline bool lies_aligned(const void *p) { return (uintptr_t)p % 64 == 0; }

static inline void show(struct lsio_step *to, const struct lsi_step *s, bool in_place) {
  const struct lsi_chunk *c = s->chunk;
  uint32_t flags = (uint32_t)~s->piece & (LSIO_STEP_FIRST | LSIO_STEP_LAST);
  if (lies_aligned(c->data)) flags |= LSIO_STEP_ALIGNED;
  if (s->memory & LSI_MEMORY_PADDED) flags |= LSIO_STEP_PADDED;
  if (s->memory & LSI_MEMORY_LENT) flags |= LSIO_STEP_LENT;
  to->data = c->data;
  to->bytes = whole(c->bytes);
  to->n = whole(c->n);
  to->out_n = whole(s->out_n);
  to->out = to->out_n ? s->out : NULL;
  if (to->out && lies_aligned(s->out)) flags |= LSIO_STEP_OUT_ALIGNED;
  if (to->out && !in_place) flags |= LSIO_STEP_OUT_PADDED;
  to->flags = flags;
  to->scratch = s->scratch;
  to->scratch_bytes = whole(s->scratch_bytes);
  to->index = whole(s->index);
  to->pos = (int64_t)s->pos;
  to->object = whole(c->object);
  to->object_size = whole(c->object_size);
  to->offset = whole(c->offset);
  to->length = whole(c->length);
  to->tag = c->tag;
  to->name = c->name;
  to->name_length = c->name_length;
}
_Static_assert((int)LSIO_STEP_FIRST == LSI_PIECE_LATER && (int)LSIO_STEP_LAST == LSI_PIECE_MORE,
               "each is there when the other is not");

/* Everything that is not the common 0. */
static __attribute__((noinline)) int take_result(struct lsi_c_worker *w, struct lsi_step *step, int32_t r,
                                                 struct lsi_error *err) {
  if (r == LSIO_STEP_NOTHING) {
    step->result = LSI_RESULT_NONE;
    return 0;
  }
  if (r > 0 && w->counts && (uint64_t)r <= w->step.out_n) {
    step->result = LSI_RESULT_COUNT;
    step->result_n = r;
    return 0;
  }
  undo(w);
  step->result = LSI_RESULT_NONE;
  if (r < 0) return failed(err, "step", r, w->message);
  if (!w->counts)
    return lsi_fail(err, LSIO_ERR_TRANSFORM, 0,
                    "the program's transform returned %d, a count, but the job has no out_max", r);
  return lsi_fail(err, LSIO_ERR_TRANSFORM, 0,
                  "the program's transform returned %d; how many elements it wrote is at most %llu", r,
                  (unsigned long long)w->step.out_n);
}

static int run_step(void *state, struct lsi_step *step, struct lsi_error *err) {
  struct lsi_c_worker *w = state;
  if (LSI_UNLIKELY(step->n_chunks != 1))
    return lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "a transform in C got a step of %u chunks", step->n_chunks);
  if ((w->backup_size || w->asks) && !(step->piece & LSI_PIECE_LATER)) save(w);
  show(&w->step, step, w->of->in_place);
  w->message[0] = '\0';
  const int32_t r = w->of->c.step(&w->step, w->state);
  step->result = LSI_RESULT_WHOLE;
  return LSI_LIKELY(!r) ? 0 : take_result(w, step, r, err);
}

static const struct lsi_transform_ops ops = {.name = "c", .open_worker = open_worker, .step = run_step,
                                             .undo = undo, .finish = finish, .close = close_worker};

/* ---- of a job ---- */

/* Up to where `release` is: what is known of a transform that is shorter can't be released. */
#define SHORTEST (offsetof(struct lsio_transform, release) + sizeof(((struct lsio_transform *)0)->release))

void lsi_c_transform_take(struct lsi_c_transform *t, const struct lsio_transform *given) {
  *t = (struct lsi_c_transform){0};
  if (!given) return;
  t->given = true;
  if (given->struct_size >= SHORTEST) memcpy(&t->c, given, LSI_MIN(given->struct_size, sizeof t->c));
}

int lsi_c_transform_check(const struct lsi_c_transform *t, struct lsi_error *err) {
  if (!t->given) return 0;
  if (!t->c.struct_size || !t->c.step)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "a transform needs its struct_size and a `step`");
  if (t->c.state_align & (t->c.state_align - 1) || t->c.state_align > MOST_ALIGN)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "state_align is %zu, no power of two up to %zu", t->c.state_align,
                    MOST_ALIGN);
  if (t->c.state_size > INT32_MAX)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "state_size is %zu; a state takes at most 2147483647 bytes",
                    t->c.state_size);
  return 0;
}

bool lsi_c_transform_has_state(const struct lsi_c_transform *t) { return t->c.merge || t->c.state_size; }

int lsi_c_transform_use(struct lsi_c_transform *t, struct lsi_spec *spec, struct lsi_dtype out_type,
                        bool in_place, const struct lsi_script *script, struct lsi_error *err) {
  if (!t->given) return 0;
  if (spec->has_out_max && spec->out_max > INT32_MAX) {
    lsi_fail(err, LSIO_ERR_USAGE, 0,
             "out_max is %llu elements; a transform in C returns how many it wrote as an int32_t",
             (unsigned long long)spec->out_max);
    lsi_error_remedy(err, "give out_max below 2147483648");
    return LSIO_ERR_USAGE;
  }
  t->spec = spec;
  t->out_type = out_type;
  t->in_place = in_place;
  t->state_bytes = t->c.state_size;
  if (script && !lsi_c_transform_has_state(t)) t->begin = lsi_script_host_ops->state(script, &t->state_bytes);
  spec->identity = false;
  spec->transform = &ops;
  spec->transform_job = t;
  return 0;
}

static int compare_workers(const void *a, const void *b) {
  const struct lsi_c_worker *const *x = a, *const *y = b;
  return ((*x)->index > (*y)->index) - ((*x)->index < (*y)->index);
}

/* Those whose states are to be merged, in their order; room for one more. NULL: no memory. */
static struct lsi_c_worker **list_workers(const struct lsi_c_transform *t, size_t *n) {
  size_t most = 1;
  for (struct lsi_c_worker *w = atomic_load(&t->workers); w; w = w->next) most++;
  struct lsi_c_worker **list = lsi_calloc(most, sizeof *list);
  *n = 0;
  if (!list) return NULL;
  for (struct lsi_c_worker *w = atomic_load(&t->workers); w; w = w->next)
    if (w->ended) list[(*n)++] = w;
  qsort(list, *n, sizeof *list, compare_workers);
  return list;
}

/* No step has run: the result is a state that has seen none. */
static struct lsi_c_worker *make_empty(struct lsi_c_transform *t, struct lsi_error *err) {
  struct lsi_c_worker *w = open_one(t, 0, err);
  return w && finish(w, err) == 0 ? w : NULL;
}

static int merge_own(struct lsi_c_transform *t, struct lsi_c_worker **list, size_t n, struct lsi_error *err) {
  struct lsi_c_worker *into = n ? list[0] : make_empty(t, err);
  if (!into) return LSIO_ERR_TRANSFORM;
  for (size_t i = 1; i < n; i++) {
    into->message[0] = '\0';
    const int32_t rc = t->c.merge(t->c.user, into->state, list[i]->state, into->message, MESSAGE);
    if (rc < 0) return failed(err, "merge", rc, into->message);
    close_state(list[i]);
  }
  t->merged = into;
  return 0;
}

int lsi_c_transform_merge(struct lsi_c_transform *t, struct lsi_script *script, struct lsi_error *err) {
  if (!t->given || (!t->begin && !t->c.merge)) return 0;
  size_t n;
  struct lsi_c_worker **list = list_workers(t, &n);
  if (!list) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to merge what workers ended with");
  int rc = 0;
  if (t->begin) {
    t->states = lsi_calloc(n + 1, sizeof *t->states);
    for (size_t i = 0; t->states && i < n; i++) t->states[i] = list[i]->bytes;
    if (t->states) lsi_script_host_ops->ended(script, t->states, n);
    else rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to merge what workers ended with");
  } else {
    rc = merge_own(t, list, n, err);
  }
  lsi_free(list);
  return rc;
}

void *lsi_c_transform_state(const struct lsi_c_transform *t) { return t->merged ? t->merged->state : NULL; }

void lsi_c_transform_end(struct lsi_c_transform *t) {
  for (struct lsi_c_worker *w = atomic_load(&t->workers), *next; w; w = next) {
    next = w->next;
    close_state(w);
    lsi_free(w);
  }
  lsi_free(t->states);
  if (t->c.release) t->c.release(t->c.user);
  *t = (struct lsi_c_transform){0};
}

void lsi_c_transform_refuse(const struct lsio_transform *given) {
  struct lsi_c_transform t;
  lsi_c_transform_take(&t, given);
  lsi_c_transform_end(&t);
}
