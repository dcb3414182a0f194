#include "engine_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/loop/home.h"
#include "engine/loop/worker.h"
#include "engine/state/run.h"
#include "ground/mem.h"
#include "run_take.h"
#include "seams/os.h"

#define CHECK(cond, ...)                                                          \
  do {                                                                            \
    if (!(cond)) {                                                                \
      fprintf(stderr, "seed %llu: %s: ", (unsigned long long)seed, #cond);        \
      fprintf(stderr, __VA_ARGS__);                                               \
      fprintf(stderr, "\n");                                                      \
      abort();                                                                    \
    }                                                                             \
  } while (0)

uint64_t engine_job_random(struct engine_job *j, uint64_t n) {
  /* splitmix64 (Steele, Lea, Flood 2014) */
  uint64_t z = (j->rng += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return n ? z % n : 0;
}

void engine_job_faults(struct engine_job *j, struct lsi_sim *sim) {
  sim->short_read = (uint32_t)engine_job_random(j, 3) * 100;
  sim->again = (uint32_t)engine_job_random(j, 2) * 20;
  sim->full = (uint32_t)engine_job_random(j, 2) * 200;
  sim->emfile = (uint32_t)engine_job_random(j, 2) * 100;
}

uint64_t engine_job_seeds(void (*one)(uint64_t seed), uint64_t part, uint64_t usual) {
  const char *single = getenv("LSIO_SIM_SEED"), *many = getenv("LSIO_SIM_SEEDS");
  const char *from = getenv("LSIO_SIM_FIRST");
  const uint64_t first = strtoull(single ? single : from ? from : "1", NULL, 10);
  const uint64_t n = single ? 1 : many ? strtoull(many, NULL, 10) / part : usual;
  const int64_t live = lsi_mem_live();
  for (uint64_t seed = first; seed < first + n; seed++) {
    one(seed);
    CHECK(lsi_mem_live() == live, "%lld blocks leaked", (long long)(lsi_mem_live() - live));
  }
  return single ? 0 : n;
}

/* ---- the transform ---- */

struct worker_state {
  struct engine_job *job;
  struct lsi_step *step;
  bool ran;
  uint64_t at;    /* bytes of its chunk that pieces have shown */
  uint64_t index; /* of that step */
};

static int open_worker(void *job, unsigned worker, unsigned n_workers, struct lsi_step *step,
                       void **state, struct lsi_error *err) {
  (void)worker;
  (void)n_workers;
  struct worker_state *w = lsi_calloc(1, sizeof *w);
  if (!w) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory");
  w->job = job;
  w->step = step;
  atomic_fetch_add(&w->job->open_workers, 1);
  *state = w;
  return 0;
}

static uint64_t length_of(const struct engine_job *j, const struct lsi_chunk *c) {
  return j->content ? j->content[(uint32_t)c->object] : (uint64_t)c->length;
}

/* Pieces come in order, with no other step between them. True: more of them follow. */
static bool look_at_piece(struct worker_state *w, const struct lsi_step *s) {
  const struct lsi_chunk *c = s->chunk;
  const bool later = s->piece & LSI_PIECE_LATER, more = s->piece & LSI_PIECE_MORE;
  const bool follows = later ? w->at && w->index == (uint64_t)s->index : !w->at;
  if (!follows || s->n_chunks != 1 || (uint64_t)s->pos != w->at) atomic_fetch_add(&w->job->wrong_bytes, 1);
  const uint64_t end = w->at + (uint64_t)c->bytes;
  if (more ? c->bytes != (double)w->job->spec.piece : end != length_of(w->job, c))
    atomic_fetch_add(&w->job->wrong_bytes, 1);
  w->index = (uint64_t)s->index;
  w->at = more ? end : 0;
  return more;
}

/* What has been shown of the step that has not ended counts no more. */
static void undo(void *state) {
  struct worker_state *w = state;
  if (!w->at) atomic_fetch_add(&w->job->wrong_bytes, 1); /* nothing had been */
  w->at = 0;
}

static int step(void *state, struct lsi_step *s, struct lsi_error *err) {
  struct worker_state *w = state;
  struct engine_job *j = w->job;
  const uint64_t from = w->at;
  const bool more = (s->piece || from) && look_at_piece(w, s);
  if (s != w->step) atomic_fetch_add(&j->wrong_bytes, 1);
  if (!w->ran) atomic_fetch_add(&j->ran_workers, 1);
  w->ran = true;
  for (uint32_t i = 0; i < s->n_chunks; i++) {
    const struct lsi_chunk *c = &s->chunk[i];
    if (!s->piece && (uint64_t)c->bytes != length_of(j, c)) atomic_fetch_add(&j->wrong_bytes, 1);
    const bool damaged = length_of(j, c) == UINT64_MAX;
    for (uint64_t b = 0; !damaged && b < (uint64_t)c->bytes; b++)
      if (((const uint8_t *)c->data)[b] !=
          j->byte_at(j->ctx, (uint32_t)c->object, (uint64_t)c->offset + from + b))
        atomic_fetch_add(&j->wrong_bytes, 1);
  }
  uint64_t index = (uint64_t)s->index;
  if (j->slow_one_in && index % j->slow_one_in == 0 && !from) lsi_os_sleep_ns(1000000);
  const bool fails = j->fail_one_in && index % j->fail_one_in == j->fail_one_in - 1;
  if (fails && (!more || from >= index % 5 * j->spec.piece)) {
    w->at = 0;
    atomic_fetch_add(&j->transform_failures, 1);
    return lsi_fail(err, LSIO_ERR_TRANSFORM, 0, "failed on purpose");
  }
  s->result = LSI_RESULT_NONE;
  if (more) return 0;
  atomic_fetch_add(&j->delivered[index], 1);
  return 0;
}

static int finish(void *state, struct lsi_error *err) {
  (void)err;
  atomic_fetch_add(&((struct worker_state *)state)->job->finished_workers, 1);
  return 0;
}

static void close_worker(void *state) {
  if (((struct worker_state *)state)->at) atomic_fetch_add(&((struct worker_state *)state)->job->wrong_bytes, 1);
  atomic_fetch_sub(&((struct worker_state *)state)->job->open_workers, 1);
  lsi_free(state);
}

static const struct lsi_transform_ops transform = {.name = "test",
                                                    .open_worker = open_worker,
                                                    .step = step,
                                                    .undo = undo,
                                                    .finish = finish,
                                                    .close = close_worker};

/* ---- building ---- */

bool engine_job_pieces, engine_job_faulty;

static void add_steps(struct engine_job *j, uint32_t n_objects, const struct lsi_object_info *infos,
                      uint32_t max_steps) {
  struct lsi_request *r = j->spec.request;
  uint32_t n_steps = 1 + (uint32_t)engine_job_random(j, max_steps);
  uint32_t most = engine_job_random(j, 2) ? 8 : 1;
  for (uint32_t i = 0; i < n_steps; i++) {
    uint32_t object[8], n = 1 + (uint32_t)engine_job_random(j, most);
    int64_t offset[8], length[8], tag[8];
    for (uint32_t c = 0; c < n; c++) {
      object[c] = (uint32_t)engine_job_random(j, n_objects);
      const bool there = !(infos[object[c]].known & LSI_KNOWN_FAULT);
      uint64_t size = there ? infos[object[c]].size : 9000;
      uint64_t at = engine_job_random(j, size + 1), left = size - at;
      uint64_t longest = engine_job_random(j, 8) ? LSI_MIN(left, (uint64_t)9000) : left;
      offset[c] = (int64_t)at;
      length[c] = (int64_t)engine_job_random(j, longest + 1);
      if (r->keeps && engine_job_random(j, 30) == 0) length[c] = (int64_t)(left + 1 + engine_job_random(j, 9000));
      tag[c] = (int64_t)engine_job_random(j, 1000) - 500;
    }
    struct lsi_error e;
    lsi_error_clear(&e);
    if (lsi_request_add_step(r, n, object, offset, length, tag, &e) < 0) abort();
  }
}

/* All but the steps. */
static void begin_request(struct engine_job *j, uint64_t seed, uint32_t n_objects,
                          const char *const *names, const struct lsi_object_info *infos) {
  memset(j, 0, sizeof *j);
  j->rng = seed * 0x2545f4914f6cdd1du + 1;
  lsi_spec_init(&j->spec);
  struct lsi_request *r = j->spec.request = lsi_request_create();
  struct lsi_error e;
  lsi_error_clear(&e);
  if (engine_job_faulty && engine_job_random(j, 4) == 0) r->keeps = LSI_KEEP_ALL;
  for (uint32_t i = 0; i < n_objects; i++) {
    uint32_t index;
    if (lsi_request_add_object(r, names[i], &infos[i], &index, &e) < 0) abort();
    if (infos[i].known & LSI_KNOWN_FAULT) r->keeps = LSI_KEEP_ALL;
  }
}

static void choose_pieces(struct engine_job *j, struct lsi_plan_options *options) {
  if (!engine_job_pieces || engine_job_random(j, 2)) return;
  static const uint64_t sizes[] = {64, 512, 4096, 5000, 20000, 32768};
  j->spec.piece = sizes[engine_job_random(j, LSI_COUNTOF(sizes))];
  if (engine_job_random(j, 4)) options->ahead = 1 + engine_job_random(j, 100000);
}

static void plan_request(struct engine_job *j, const struct lsi_object_info *infos) {
  struct lsi_request *r = j->spec.request;
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsi_device_model models[2];
  for (int i = 0; i < 2; i++) {
    lsi_device_preset((enum lsi_device_kind)engine_job_random(j, LSI_DEVICE_KINDS), &models[i]);
    models[i].cap = engine_job_random(j, 2) ? 1 + (uint32_t)engine_job_random(j, 20) : 0;
    if (engine_job_random(j, 2)) models[i].op_max = LSI_ALIGN << engine_job_random(j, 4);
  }
  for (uint32_t i = 0; i < r->n_objects; i++) r->object_device[i] = infos[i].device & 1;
  static const uint64_t merges[] = {LSI_MERGE_AUTO, LSI_MERGE_NEVER, 0, 100, 5000, 1u << 20};
  struct lsi_plan_options options = {.merge = merges[engine_job_random(j, LSI_COUNTOF(merges))],
                                     .in_request_order = engine_job_random(j, 2),
                                     .n_devices = 2,
                                     .devices = models};
  choose_pieces(j, &options);
  if (lsi_plan_build(r, &options, &j->plan, &e) < 0) abort();
  j->delivered = lsi_calloc(r->n_steps, sizeof *j->delivered);
  j->spec.type = (struct lsi_dtype){LSI_U8, false};
  j->spec.on_error = engine_job_random(j, 2) ? LSI_ON_ERROR_SKIP : LSI_ON_ERROR_FAIL;
  j->spec.transform = &transform;
  j->spec.transform_job = j;
  j->slow_one_in = engine_job_random(j, 4) ? 0 : 7;
  static const uint32_t depths[] = {0, 0, 1, 3, 32};
  j->config = (struct lsi_run_config){
      .spec = &j->spec,
      .plan = j->plan,
      .sink_type = j->spec.type,
      .workers = 1 + (uint32_t)engine_job_random(j, 4),
      .share = j->plan->unit_bytes_max + ((uint64_t)1 << (16 + engine_job_random(j, 8))),
      .queue_depth = depths[engine_job_random(j, LSI_COUNTOF(depths))]};
}

void engine_job_build(struct engine_job *j, uint64_t seed, uint32_t n_objects,
                      const char *const *names, const struct lsi_object_info *infos,
                      uint32_t max_steps) {
  begin_request(j, seed, n_objects, names, infos);
  add_steps(j, n_objects, infos, max_steps);
  plan_request(j, infos);
}

void engine_job_build_files(struct engine_job *j, uint64_t seed, uint32_t n_objects,
                            const char *const *names, const struct lsi_object_info *infos) {
  begin_request(j, seed, n_objects, names, infos);
  struct lsi_request *r = j->spec.request;
  struct lsi_error e;
  lsi_error_clear(&e);
  for (uint32_t i = 0; i < n_objects; i++) {
    if (!infos[i].known) lsi_request_set_late(r, i, &infos[i]);
    if (lsi_request_cut(r, i, 0, UINT64_MAX, 0, &e) < 0) abort();
  }
  plan_request(j, infos);
}

/* ---- running ---- */

static void check_counts(struct engine_job *j, uint64_t seed, int rc, uint32_t *failed) {
  const struct lsi_request *r = j->spec.request;
  for (uint32_t i = 0; i < r->n_steps; i++) {
    uint32_t times = atomic_load(&j->delivered[i]) + failed[i];
    CHECK(times <= 1, "step %u ended %u times", i, times);
    CHECK(rc < 0 || times == 1, "step %u never ended", i);
  }
  CHECK(atomic_load(&j->wrong_bytes) == 0, "%u wrong bytes", atomic_load(&j->wrong_bytes));
  CHECK(atomic_load(&j->open_workers) == 0, "%u workers left open", atomic_load(&j->open_workers));
}

static void print_error(const struct lsi_error *e) {
  char text[1700];
  lsi_error_format(e, text, sizeof text);
  fprintf(stderr, "%s\n", text);
}

/* ---- one thread, and a time of its own ---- */

static uint64_t time_now(void *user) { return ((struct engine_time *)user)->now += 20; }
static void time_sleep(void *user, uint64_t ns) { ((struct engine_time *)user)->now += ns; }

void engine_time_begin(struct engine_time *t) {
  *t = (struct engine_time){.now = 1000000, .hash = 0xcbf29ce484222325u};
  t->clock = (struct lsi_clock){time_now, time_sleep, t};
  lsi_os_set_clock(&t->clock);
}

void engine_time_end(void) { lsi_os_set_clock(NULL); }

void engine_time_note(struct engine_time *t, uint64_t what) {
  t->hash = (t->hash ^ what) * 0x100000001b3u; /* FNV-1a's prime */
}

/* Nothing can be done by anybody: on to the next thing that happens. */
static void pass(struct engine_time *t, struct lsi_sim *sim, const struct lsi_run *run) {
  uint64_t next = atomic_load(&sim->next_ns);
  for (uint32_t i = 0; i < run->n_workers; i++)
    if (run->workers[i].blocked_ns) next = LSI_MIN(next, t->now + run->workers[i].blocked_ns);
  t->now = LSI_MAX(t->now + 1000, next == UINT64_MAX ? 0 : next);
}

uint64_t engine_job_turns(struct engine_job *j, uint64_t seed, struct lsi_run *run,
                          const struct engine_turns *how) {
  struct engine_time t;
  engine_time_begin(&t);
  how->sim->by_clock = true;
  struct lsi_home *homes = lsi_calloc(run->n_workers, sizeof *homes);
  for (uint32_t i = 0; i < run->n_workers; i++) {
    homes[i] = (struct lsi_home){.index = i, .threads = run->n_workers, .open_limit = 1024, .bell = -1};
    run->workers[i].home = &homes[i];
  }
  uint32_t idle = 0;
  for (uint64_t n = 0; !lsi_run_ended(run); n++) {
    CHECK(n < 20000000, "the run hangs");
    struct lsi_worker *w = &run->workers[engine_job_random(j, run->n_workers)];
    if (idle == 0) atomic_store(&how->sim->next_ns, UINT64_MAX);
    if (w->stage != LSI_STAGE_ENDED) {
      w->blocked_ns = 0;
      w->may_begin = engine_job_random(j, 2) ? UINT32_MAX : 1;
      const enum lsi_turn turn = lsi_worker_turn(w, 0);
      if (turn == LSI_TURN_ENDED) lsi_run_worker_ended(run, 0);
      engine_time_note(&t, (uint64_t)w->index << 8 | turn);
      idle = turn == LSI_TURN_WENT || turn == LSI_TURN_ENDED ? 0 : idle + 1;
    }
    if (engine_job_random(j, how->poll_one_in) == 0) how->take(how->user, lsi_run_take(run));
    if (how->cancel_after_ns >= 0 && (int64_t)t.now > how->cancel_after_ns) lsi_run_cancel(run);
    if (how->expire_after_ns && t.now > how->expire_after_ns) lsi_run_expire(run);
    if (idle > 2 * run->n_workers) {
      pass(&t, how->sim, run);
      idle = 0;
    }
  }
  how->take(how->user, lsi_run_take(run));
  for (uint32_t i = 0; i < run->n_workers; i++) lsi_home_clear(&homes[i]);
  lsi_free(homes);
  engine_time_note(&t, t.now);
  engine_time_end();
  return t.hash;
}

static void take_failures(void *user, struct lsi_run_completion *c) {
  const struct engine_started *f = user;
  const uint64_t seed = f->seed;
  for (struct lsi_run_completion *next; c; c = next) {
    next = c->next;
    CHECK(c->error, "a result of a job that streams none");
    CHECK(c->error->object[0] && c->error->step == c->step, "an error without object or step");
    f->failed[c->step]++;
    if (f->j->failed) f->j->failed((void *)(uintptr_t)f->j->ctx, c->step, c->error);
    if (getenv("LSIO_SIM_SEED")) print_error(c->error);
    lsi_run_free_completion(c);
  }
}

void engine_job_start(struct engine_job *j, uint64_t seed, bool workers, struct engine_started *s) {
  struct lsi_error e;
  lsi_error_clear(&e);
  *s = (struct engine_started){.j = j, .seed = seed};
  s->failed = lsi_calloc(j->spec.request->n_steps, sizeof *s->failed);
  const int rc = (workers ? lsi_run_start : lsi_run_create)(&j->config, &s->run, &e);
  CHECK(rc == 0, "start: %s", e.what);
}

void engine_job_poll(struct engine_started *s, int64_t timeout_ns) {
  take_failures(s, run_take(s->run, timeout_ns));
}

int engine_job_finish(struct engine_started *s, struct lsi_error *err) {
  struct engine_job *j = s->j;
  const uint64_t seed = s->seed;
  /* All that is there: steps that a deadline has left come by and by. */
  for (struct lsi_run_completion *c; (c = lsi_run_take(s->run));) take_failures(s, c);
  const int rc = lsi_run_join(s->run, err);
  check_counts(j, seed, rc, s->failed);
  struct lsi_summary sum = {0};
  lsi_run_summary(s->run, &sum);
  CHECK(rc < 0 || sum.steps + sum.steps_failed == j->spec.request->n_steps, "summary counts %llu + %llu",
        (unsigned long long)sum.steps, (unsigned long long)sum.steps_failed);
  uint64_t failed = 0;
  for (uint32_t i = 0; i < j->spec.request->n_steps; i++) failed += s->failed[i];
  CHECK(rc < 0 || (failed == sum.steps_failed && failed == sum.error_count), "%llu failed, the summary counts %llu",
        (unsigned long long)failed, (unsigned long long)sum.steps_failed);
  CHECK(rc < 0 || atomic_load(&j->finished_workers) == atomic_load(&j->ran_workers),
        "what %u of %u workers have is lost", j->ran_workers - j->finished_workers, j->ran_workers);
  j->too_large = sum.kinds ? sum.kinds[LSIO_KIND_LIMIT].n : 0;
  sum.workers = NULL;
  sum.errors = NULL;
  sum.kinds = NULL;
  j->summary = sum;
  lsi_run_destroy(s->run);
  lsi_free(s->failed);
  return rc;
}

static void run_threads(struct engine_started *s, int64_t cancel_after_ns) {
  const uint64_t start = lsi_os_now_ns(), seed = s->seed;
  while (!lsi_run_ended(s->run)) {
    engine_job_poll(s, cancel_after_ns >= 0 ? cancel_after_ns + 1 : 1000000000);
    if (cancel_after_ns >= 0) lsi_run_cancel(s->run);
    CHECK(lsi_os_now_ns() - start < 60000000000u, "the run hangs");
  }
}

int engine_job_run(struct engine_job *j, uint64_t seed, int64_t cancel_after_ns,
                   struct lsi_error *err) {
  struct engine_started s;
  engine_job_start(j, seed, !j->turns, &s);
  if (j->turns) {
    const struct engine_turns how = {.sim = j->turns, .cancel_after_ns = cancel_after_ns, .poll_one_in = 9,
                                     .take = take_failures, .user = &s};
    j->hash = engine_job_turns(j, seed, s.run, &how);
  } else {
    run_threads(&s, cancel_after_ns);
  }
  return engine_job_finish(&s, err);
}

void engine_job_free(struct engine_job *j) {
  lsi_plan_free(j->plan);
  lsi_spec_clear(&j->spec);
  lsi_free(j->delivered);
}
