/* Results that are streamed while objects change, on the simulated backend: what is handed out is what the
 * object held when the job was planned, also if it is kept until all is gone, and every step that ran is
 * handed out or reported, once; in order, if there is one, also where next to nothing may wait for its turn.
 * Seeds as in test_engine.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine_job.h"
#include "engine/state/run.h"
#include "memory/block.h"
#include "ground/mem.h"
#include "run_take.h"
#include "seams/os.h"
#include "test/sim.h"

#define OBJECTS 4

struct world {
  struct lsi_sim sim;
  struct lsi_sim_object objects[OBJECTS];
  struct lsi_object_info infos[OBJECTS];
  const char *names[OBJECTS];
  bool changing;
};

static void make_world(struct world *w, struct engine_job *j, uint64_t seed) {
  memset(w, 0, sizeof *w);
  j->rng = seed;
  w->sim.seed = seed;
  w->sim.objects = w->objects;
  w->sim.n_objects = OBJECTS;
  w->sim.delay_max = (uint32_t)engine_job_random(j, 2) * 50;
  for (uint32_t i = 0; i < OBJECTS; i++) {
    struct lsi_sim_object *o = &w->objects[i];
    snprintf(o->name, sizeof o->name, "object%u", i);
    o->size = o->real_size = engine_job_random(j, 300000);
    o->device = i & 1;
    o->changing = engine_job_random(j, 3) == 0;
    w->changing |= o->changing;
    w->names[i] = o->name;
    w->infos[i] = lsi_sim_info(o, i);
  }
  if (engine_job_random(j, 2)) engine_job_faults(j, &w->sim);
}

/* ---- orders ---- */

/* What is to come next, in the order of steps or of groups. */
struct turn {
  enum { ANY_ORDER, BY_STEP, BY_GROUP } kind;
  uint32_t next, came; /* step; or group, and how many of it came */
};

static bool planned_in_order(const struct lsi_plan *p, const struct lsi_request *r) {
  for (uint32_t i = 0; i < r->n_steps; i++)
    if (p->step_order[i] != i) return false;
  return p->n_sections == 1;
}

static void choose_order(struct engine_job *j, struct turn *t) {
  struct lsi_request *r = j->spec.request;
  *t = (struct turn){.kind = planned_in_order(j->plan, r) ? 1 + (int)engine_job_random(j, 2) : ANY_ORDER};
  static const uint64_t windows[] = {0, 1000, 20000, 1000000};
  j->config.window = windows[engine_job_random(j, LSI_COUNTOF(windows))];
  j->config.by_step = t->kind == BY_STEP;
  if (t->kind == ANY_ORDER || engine_job_random(j, 4) == 0) return; /* groups too: the order of steps wins */
  struct lsi_error e;
  int64_t *group = lsi_calloc(r->n_steps, sizeof *group);
  const uint64_t one_in = 1 + engine_job_random(j, 20);
  for (uint32_t i = 1; i < r->n_steps; i++)
    group[i] = group[i - 1] + (engine_job_random(j, one_in) ? 0 : 1 + (int64_t)engine_job_random(j, 3));
  assert_int_equal(lsi_request_set_groups(r, group, r->n_steps, &e), 0);
  lsi_free(group);
}

static bool in_turn(const struct lsi_request *r, struct turn *t, uint64_t step) {
  if (t->kind == BY_STEP) return step == t->next++;
  if (t->kind == ANY_ORDER || !r->group_first) return true;
  if (step < r->group_first[t->next] || step >= r->group_first[t->next + 1]) return false;
  if (++t->came < r->group_first[t->next + 1] - r->group_first[t->next]) return true;
  t->next++;
  t->came = 0;
  return true;
}

struct ends {
  uint32_t *handed_out, *failed;
  uint32_t n_failed;
};

static bool right(const struct world *w, const struct lsi_request *r, const struct lsi_block *block,
                  const struct lsio_result *c) {
  const uint8_t *const data = (const uint8_t *)block->data + c->begin, *p = data;
  const bool aligned = !c->length || (uintptr_t)data % LSI_BLOCK_ALIGN == 0;
  if (aligned == !!(c->flags & LSIO_RESULT_UNALIGNED)) return false;
  if (c->begin + c->length + LSI_BLOCK_ALIGN > block->room) return false;
  for (uint32_t i = lsi_request_chunk_begin(r, (uint32_t)c->step);
       i < lsi_request_chunk_end(r, (uint32_t)c->step); i++)
    for (uint64_t b = 0; b < r->length[i]; b++)
      if (*p++ != lsi_sim_byte(&w->sim, r->object[i], r->offset[i] + b)) return false;
  return c->length == (size_t)(p - data);
}

/* What the program keeps. */
struct kept {
  struct lsi_block *block;
  uint32_t from, n;
};

struct taker {
  const struct world *w;
  const struct engine_job *j;
  struct ends *ends;
  struct turn *turn;
  uint64_t seed;
  struct kept *kept; /* NULL: nothing is */
  size_t n_kept;
};

static void check_turn(const struct taker *t, uint64_t step) {
  if (!in_turn(t->j->spec.request, t->turn, step))
    fail_msg("seed %llu: step %llu came before its turn", (unsigned long long)t->seed, (unsigned long long)step);
}

static void check(const struct taker *t, const struct lsi_block *b, uint32_t from, uint32_t n) {
  for (uint32_t i = from; i < from + n; i++)
    if (!right(t->w, t->j->spec.request, b, &b->results[i]))
      fail_msg("seed %llu: step %llu was handed out with other bytes", (unsigned long long)t->seed,
               (unsigned long long)b->results[i].step);
}

static void take(void *user, struct lsi_run_completion *c) {
  struct taker *t = user;
  struct ends *ends = t->ends;
  for (struct lsi_run_completion *next; c; c = next) {
    next = c->next;
    if (c->error) {
      check_turn(t, c->step);
      ends->failed[c->step]++;
      ends->n_failed++;
    }
    if (c->n) check(t, c->block, c->from, c->n);
    for (uint32_t i = 0; i < c->n; i++) {
      const uint64_t step = c->block->results[c->from + i].step;
      check_turn(t, step);
      ends->handed_out[step]++;
    }
    if (c->n && t->kept) {
      lsi_block_lend(c->block);
      t->kept[t->n_kept++] = (struct kept){c->block, c->from, c->n};
      c->block = NULL;
    }
    lsi_run_free_completion(c);
  }
}

static bool by_turns;
static uint64_t n_kept_in_order;

static void drive(struct world *w, struct engine_job *j, struct taker *taker, struct lsi_run *run, int64_t cancel,
                  uint64_t expire) {
  if (by_turns) {
    const struct engine_turns how = {.sim = &w->sim, .cancel_after_ns = cancel, .expire_after_ns = expire,
                                     .take = take, .user = taker,
                                     .poll_one_in = 1 + (uint32_t)engine_job_random(j, 400)};
    engine_job_turns(j, taker->seed, run, &how);
  }
  while (!lsi_run_ended(run)) {
    take(taker, run_take(run, cancel >= 0 ? cancel + 1 : expire ? (int64_t)expire : 1000000000));
    if (cancel >= 0) lsi_run_cancel(run);
    if (expire) lsi_run_expire(run);
  }
  for (struct lsi_run_completion *c; (c = lsi_run_take(run));) take(taker, c);
}

static void check_ends(const struct taker *t, const struct lsi_run *run, int rc) {
  const struct ends *ends = t->ends;
  struct lsi_summary s;
  lsi_run_summary(run, &s);
  uint32_t handed_out = 0;
  for (uint32_t i = 0; i < t->j->spec.request->n_steps; i++) {
    const uint32_t times = ends->handed_out[i] + ends->failed[i];
    if (times > 1 || (rc == 0 && times != 1))
      fail_msg("seed %llu: step %u ended %u times", (unsigned long long)t->seed, i, times);
    handed_out += ends->handed_out[i];
  }
  /* What is counted is what was handed out, or could not be, for what comes before it has not run. */
  const bool all = rc == 0 || !run->gate.on;
  const uint64_t counted = s.steps + s.steps_failed, came = handed_out + ends->n_failed;
  if (all ? s.steps != handed_out || s.steps_failed != ends->n_failed : counted < came)
    fail_msg("seed %llu: %llu + %llu counted, %u + %u handed out", (unsigned long long)t->seed,
             (unsigned long long)s.steps, (unsigned long long)s.steps_failed, handed_out, ends->n_failed);
  if (rc == 0 && run->gate.held) fail_msg("seed %llu: something is left", (unsigned long long)t->seed);
}

/* A ledger of which little may be shared, in most seeds: results have blocks of their own. */
static struct lsi_ledger *make_ledger(struct engine_job *j) {
  const uint64_t limit = engine_job_random(j, 4) * engine_job_random(j, 500000);
  struct lsi_ledger *l = limit ? lsi_ledger_create() : NULL;
  if (l) lsi_ledger_limit(l, limit);
  return l;
}

static void let_go(struct taker *t, struct lsi_ledger *ledger) {
  struct lsi_ledger_figures f = {0};
  if (ledger) lsi_ledger_look(ledger, &f);
  assert_true(!ledger || f.shared <= f.limit / 2);
  for (size_t i = 0; i < t->n_kept; i++) check(t, t->kept[i].block, t->kept[i].from, t->kept[i].n);
  assert_true(!ledger || !!f.lent == !!t->n_kept);
  for (size_t i = 0; i < t->n_kept; i++) lsi_block_regain(t->kept[i].block);
  if (ledger) lsi_ledger_look(ledger, &f);
  assert_true(f.lent == 0 && f.shared == 0);
  lsi_free(t->kept);
  lsi_ledger_drop(ledger);
}

static void one_seed(uint64_t seed) {
  struct world w;
  struct engine_job j;
  make_world(&w, &j, seed);
  engine_job_build(&j, seed, OBJECTS, w.names, w.infos, 200);
  struct turn turn;
  choose_order(&j, &turn);
  j.spec.transform = NULL;
  j.spec.identity = true;
  j.config.stream = true;
  j.config.stores = lsi_sim_stores;
  j.config.backend = &lsi_backend_sim;
  j.config.backend_user = &w.sim;
  j.config.deadline_ns = 1000000000;
  const int64_t cancel = engine_job_random(&j, 10) == 0 ? (int64_t)engine_job_random(&j, 300000) : -1;
  const uint64_t expire = engine_job_random(&j, 5) == 0 ? 1000000 + engine_job_random(&j, 300000) : 0;
  const uint32_t n = j.spec.request->n_steps;
  struct ends ends = {.handed_out = lsi_calloc(n, sizeof(uint32_t)), .failed = lsi_calloc(n, sizeof(uint32_t))};
  struct lsi_ledger *ledger = j.config.ledger = make_ledger(&j);
  struct lsi_run *run;
  struct lsi_error e;
  lsi_error_clear(&e);
  struct taker taker = {.w = &w, .j = &j, .ends = &ends, .turn = &turn, .seed = seed};
  if (engine_job_random(&j, 2)) taker.kept = lsi_calloc(n, sizeof *taker.kept);
  assert_int_equal((by_turns ? lsi_run_create : lsi_run_start)(&j.config, &run, &e), 0);
  drive(&w, &j, &taker, run, cancel, expire);
  const int rc = lsi_run_join(run, &e);
  check_ends(&taker, run, rc);
  n_kept_in_order += rc == 0 && run->left.n_steps && turn.kind != ANY_ORDER;
  if (rc == LSIO_ERR_SOURCE) assert_true(w.changing && e.object[0]);
  else if (rc == LSIO_ERR_CANCELLED) assert_true(cancel >= 0);
  else if (rc == LSIO_ERR_LIMIT) assert_true(expire && j.spec.on_error == LSI_ON_ERROR_FAIL);
  else assert_true(rc == 0 || (rc == LSIO_ERR_IO && w.sim.emfile));
  lsi_run_destroy(run);
  let_go(&taker, ledger);
  lsi_free(ends.handed_out);
  lsi_free(ends.failed);
  engine_job_free(&j);
}

static void nothing_wrong_is_handed_out(void **state) {
  (void)state;
  engine_job_seeds(one_seed, 4, 1000);
}

static void nothing_wrong_is_handed_out_by_turns(void **state) {
  (void)state;
  by_turns = true;
  n_kept_in_order = 0;
  if (engine_job_seeds(one_seed, 4, 1000) >= 2000) assert_true(n_kept_in_order > 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_wrong_is_handed_out),
                                     cmocka_unit_test(nothing_wrong_is_handed_out_by_turns)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
