#include "engine/loop/crew.h"

#include <stdio.h>

#include "engine/loop/depth.h"
#include "engine/loop/home.h"
#include "engine/loop/worker.h"
#include "ground/mem.h"
#include "ground/spin.h"

#define MEMBERS_MOST 1024u
#define LOOK_NS 1000000 /* a wait for what is in flight ends after so long, to look for other runs */
#define ATTENDED_MOST 32u /* workers of each kind that take turns */
#define KINDS 4u          /* short or long, normal or in the background */
#define BACKGROUND_PART 16 /* of the bytes that normal runs begin, one goes to those in the background */
#define UNITS_CROWDED 1u /* that a worker may begin in a turn while there are other runs */

/* A thread, and the workers that it has taken up. */
struct lsi_member {
  struct lsi_home home; /* first: a worker knows its member by that */
  struct lsi_thread *thread;
  bool pinned;
  struct lsi_worker *workers; /* in the order in which they came */
  uint32_t n_of[KINDS];       /* of them */
  bool contested;             /* in this turn normal ones and some in the background can do something */
  int64_t owed;               /* bytes that the former began in such turns, less 16 times the latter's */
  struct lsi_worker *waiting, **waiting_end; /* for room among them */
  atomic_uint load;           /* workers, with those that wait to be taken up */
  atomic_uint_fast64_t bytes_read;
  struct lsi_spin spin;       /* for mail */
  struct lsi_mutex *mutex;
  struct lsi_cond *cond;
  /* under the mutex */
  struct lsi_worker *mail, **mail_end;
  bool leaves, trims;
  const struct lsi_run *used; /* under the crew's mutex: the run that is being taken up has it */
};

struct lsi_crew_device {
  struct lsi_device_state state;
  uint64_t id;
  struct lsi_crew_device *next;
};

struct lsi_crew {
  bool by_hand;             /* there are no threads: lsi_crew_turn */
  struct lsi_pool *pool;
  struct lsi_trace *trace;  /* NULL: none */
  uint32_t threads;         /* that it usually has */
  uint32_t spin_ns;         /* a thread waits awake so long, where one job follows another */
  uint32_t most;            /* that it may have */
  struct lsi_mutex *mutex;  /* of what follows */
  struct lsi_member **members;
  uint32_t n;
  struct lsi_crew_device *devices;
};

/* ---- a member ---- */

static bool is_short(const struct lsi_worker *w) { return w->run->wave.plan->n_units == 1; }

/* They have room each: those in the background, or long ones, must not keep others out. */
static unsigned kind_of(const struct lsi_worker *w) { return is_short(w) | (unsigned)w->background << 1; }

static bool has_background(const struct lsi_member *m) { return m->n_of[2] || m->n_of[3]; }

/* Takes one up: it has had as little as whoever of its priority has had the least, or nothing, if it is
 * short: then it is next of these. */
static void take_up(struct lsi_member *m, struct lsi_worker *w) {
  uint64_t least = UINT64_MAX;
  struct lsi_worker **end = &m->workers;
  for (; *end; end = &(*end)->next)
    if ((*end)->background == w->background) least = LSI_MIN(least, (*end)->served);
  w->served = least == UINT64_MAX || is_short(w) ? 0 : least;
  w->next = NULL;
  *end = w;
  m->n_of[kind_of(w)]++;
  if (w->run->config.pin && !m->pinned) m->pinned = !lsi_os_thread_pin(lsi_os_allowed_cpu(m->home.index));
}

static bool is_full(const struct lsi_member *m) {
  uint32_t full = 0;
  for (unsigned k = 0; k < KINDS; k++) full += m->n_of[k] >= ATTENDED_MOST;
  return full == KINDS;
}

/* Takes up those who wait, in their order, while there is room for their kind: so many at once that no device
 * is left idle, so few that turns stay cheap. */
static void take_up_waiting(struct lsi_member *m) {
  for (struct lsi_worker **at = &m->waiting; *at;) {
    struct lsi_worker *w = *at;
    if (m->n_of[kind_of(w)] >= ATTENDED_MOST) {
      if (is_full(m)) break;
      at = &w->next;
      continue;
    }
    *at = w->next;
    if (!*at) m->waiting_end = at;
    take_up(m, w);
  }
}

static void open_mail(struct lsi_member *m) {
  lsi_os_lock(m->mutex);
  *m->waiting_end = m->mail;
  if (m->mail) m->waiting_end = m->mail_end;
  m->mail = NULL;
  m->mail_end = &m->mail;
  atomic_fetch_and_explicit(&m->home.others, LSI_CROWDED, memory_order_relaxed);
  lsi_os_unlock(m->mutex);
  take_up_waiting(m);
}

static void remove_worker(struct lsi_member *m, struct lsi_worker *w) {
  struct lsi_worker **at = &m->workers;
  while (*at != w) at = &(*at)->next;
  *at = w->next;
  m->n_of[kind_of(w)]--;
  atomic_fetch_sub(&m->load, 1);
  if (m->waiting) take_up_waiting(m);
}

/* What is asked for between turns. */
static void trim(struct lsi_member *m) {
  lsi_home_clear(&m->home);
  m->trims = false;
  lsi_os_wake_all(m->cond);
}

static bool has_mail(const struct lsi_member *m) {
  return atomic_load_explicit(&m->home.others, memory_order_relaxed) & ~LSI_CROWDED;
}

/* Sleeps until there is mail, or for so long (-1: without limit). False: the crew ends. */
static bool sleep_until_mail(struct lsi_member *m, int64_t ns) {
  lsi_os_lock(m->mutex);
  if (!m->mail && !m->leaves && !m->trims) lsi_os_wait(m->cond, m->mutex, ns);
  if (m->trims) trim(m);
  const bool leaves = m->leaves;
  lsi_os_unlock(m->mutex);
  return !leaves;
}

/* The one that has had the least, of those with something to do; NULL: none. It is one in the background
 * when no normal one has anything to do, or these have begun so much that the others' part is due. */
static struct lsi_worker *choose(struct lsi_member *m) {
  struct lsi_worker *best[2] = {NULL, NULL};
  m->contested = false;
  for (struct lsi_worker *w = m->workers; w; w = w->next) {
    if (w->idle) continue;
    if (LSI_UNLIKELY(w->background) && lsi_stopping(w->run)) return w; /* it has only to end */
    struct lsi_worker **b = &best[w->background];
    if (!*b || w->served < (*b)->served) *b = w;
  }
  m->contested = best[0] && best[1];
  return best[1] && (!best[0] || m->owed > 0) ? best[1] : best[0];
}

/* What a turn has begun beside some in the background. What these begin while no other can is not counted. A
 * normal one that has begun what it may in a turn goes on with that before it is said to wait. */
static void account(struct lsi_member *m, struct lsi_worker *w, uint64_t begun) {
  if (m->contested) m->owed += w->background ? -BACKGROUND_PART * (int64_t)begun : (int64_t)begun;
  if (begun && !w->background) w->idle = false;
}

/* What one run alone would have in flight, all have together, and whoever has had the least begins the next:
 * else a slow device would decide who gets how much of it. */
static uint32_t may_begin(const struct lsi_member *m) {
  unsigned rung = 0;
  struct lsi_in_flight all = {0};
  for (const struct lsi_worker *w = m->workers; w; w = w->next) {
    rung = LSI_MAX(rung, lsi_depth_rung(w));
    all.ops += w->reader.ops_in_flight;
    all.bytes += w->reader.bytes_in_flight;
  }
  return lsi_depth_has_room(rung, all) ? UNITS_CROWDED : 0;
}

/* One turn. True: something was done. */
static bool turn(struct lsi_member *m, struct lsi_worker *w, int64_t most_ns) {
  w->may_begin = lsi_others_wait(w) ? may_begin(m) : UINT32_MAX;
  if (w->left_cpu_ns) w->others_cpu_ns += lsi_os_thread_cpu_ns() - w->left_cpu_ns;
  const uint64_t before = w->served;
  const enum lsi_turn t = lsi_worker_turn(w, most_ns);
  w->left_cpu_ns = w->comparing && lsi_others_wait(w) ? lsi_os_thread_cpu_ns() : 0;
  w->idle = t == LSI_TURN_WAITS || t == LSI_TURN_BLOCKED;
  if (t == LSI_TURN_WAITS) w->blocked_ns = 0;
  lsi_count(&m->bytes_read, w->figures.bytes_read - w->bytes_counted);
  w->bytes_counted = w->figures.bytes_read;
  if (has_background(m)) account(m, w, w->served - before);
  if (t != LSI_TURN_ENDED) return !w->idle;
  remove_worker(m, w);
  lsi_run_worker_ended(w->run); /* which may be gone from here on */
  return true;
}

/* Nobody can do anything now: waits for what is in flight, for mail, or until somebody may try again; at most
 * most_ns. */
static void wait(struct lsi_member *m, int64_t most_ns) {
  struct lsi_worker *flying = NULL;
  for (struct lsi_worker *w = m->workers; w; w = w->next) {
    w->idle = false;
    if (w->blocked_ns) most_ns = LSI_MIN(most_ns, (int64_t)w->blocked_ns);
    else flying = w;
  }
  if (flying) {
    turn(m, flying, most_ns);
    return;
  }
  const uint64_t before = lsi_os_now_ns();
  sleep_until_mail(m, most_ns);
  const uint64_t slept = lsi_os_now_ns() - before;
  for (struct lsi_worker *w = m->workers; w; w = w->next) w->figures.submit_ns += slept;
}

static bool mark_crowded(struct lsi_member *m) {
  const bool crowded = m->workers && m->workers->next;
  const unsigned others = atomic_load_explicit(&m->home.others, memory_order_relaxed);
  if (crowded && !(others & LSI_CROWDED))
    atomic_fetch_or_explicit(&m->home.others, LSI_CROWDED, memory_order_relaxed);
  if (!crowded && others & LSI_CROWDED)
    atomic_fetch_and_explicit(&m->home.others, ~LSI_CROWDED, memory_order_relaxed);
  return crowded;
}

/* One turn of one of its workers, which waits at most most_ns if it is the only one. */
static enum lsi_crew_turn step(struct lsi_member *m, int64_t most_ns) {
  if (has_mail(m)) open_mail(m);
  if (!m->workers) return LSI_CREW_FREE;
  const bool crowded = mark_crowded(m);
  struct lsi_worker *w = choose(m);
  if (!w) return LSI_CREW_WAITS;
  /* Where it can be roused it need not look by itself: a timer a wait costs more than the wait. */
  if (!crowded && most_ns && w->instance && w->ops->caps & LSI_CAP_WAKES && m->home.bell >= 0) most_ns = -1;
  if (turn(m, w, crowded ? 0 : most_ns))
    for (struct lsi_worker *o = m->workers; o; o = o->next) o->idle = false;
  else if (!crowded && !w->blocked_ns && most_ns)
    w->idle = false; /* it has waited */
  return LSI_CREW_WENT;
}

/* Waits for mail, first awake, then asleep. False: the crew ends. */
static bool rest(struct lsi_member *m) {
  const uint64_t before = lsi_os_now_ns();
  const bool awake = lsi_spin_pays(&m->spin);
  while (awake && !has_mail(m) && lsi_os_now_ns() - before < m->spin.ns) lsi_spin_pause();
  const bool stays = has_mail(m) || sleep_until_mail(m, -1);
  const uint64_t now = lsi_os_now_ns();
  lsi_spin_took(&m->spin, now - before);
  lsi_trace_add(m->home.trace, LSI_TRACE_IDLE, before, now, 0, LSI_TRACE_NONE, 0);
  return stays;
}

static void work(void *arg) {
  struct lsi_member *m = arg;
  for (;;) {
    switch (step(m, LOOK_NS)) {
      case LSI_CREW_WENT: continue;
      case LSI_CREW_WAITS: wait(m, LOOK_NS); continue;
      default: break;
    }
    if (!rest(m)) break;
  }
  lsi_home_clear(&m->home);
}

enum lsi_crew_turn lsi_crew_turn(struct lsi_crew *c, uint32_t i, uint64_t *wait_ns) {
  struct lsi_member *m = c->members[i];
  const enum lsi_crew_turn t = step(m, 0);
  *wait_ns = UINT64_MAX;
  for (struct lsi_worker *w = m->workers; t == LSI_CREW_WAITS && w; w = w->next) {
    w->idle = false;
    if (w->blocked_ns) *wait_ns = LSI_MIN(*wait_ns, w->blocked_ns);
  }
  if (t == LSI_CREW_FREE) lsi_home_clear(&m->home);
  return t;
}

static void look(const struct lsi_member *m, struct lsi_crew_figures *out) {
  const uint32_t all = atomic_load(&m->load), waiting = atomic_load(&m->home.others) & ~LSI_CROWDED;
  out->waiting += waiting;
  out->attended += all - LSI_MIN(all, waiting);
  out->bytes_read += atomic_load(&m->bytes_read);
}

struct lsi_crew_figures lsi_crew_look(struct lsi_crew *c, uint32_t thread) {
  struct lsi_crew_figures f = {0};
  lsi_os_lock(c->mutex);
  for (uint32_t i = 0; i < c->n; i++)
    if (thread == LSI_CREW_ALL || thread == i) look(c->members[i], &f);
  f.threads = c->n;
  lsi_os_unlock(c->mutex);
  return f;
}

uint32_t lsi_crew_size(struct lsi_crew *c) {
  lsi_os_lock(c->mutex);
  const uint32_t n = c->n;
  lsi_os_unlock(c->mutex);
  return n;
}

/* ---- the crew ---- */

int lsi_crew_create(struct lsi_pool *pool, bool by_hand, struct lsi_crew **out) {
  struct lsi_crew *c = lsi_calloc(1, sizeof *c);
  if (!c) return LSIO_ERR_NOMEM;
  c->pool = pool;
  c->by_hand = by_hand;
  c->threads = lsi_os_cpu_count();
  c->most = MEMBERS_MOST;
  c->mutex = lsi_os_mutex_create();
  c->members = lsi_calloc(MEMBERS_MOST, sizeof *c->members);
  if (!c->mutex || !c->members) {
    lsi_crew_destroy(c);
    return LSIO_ERR_NOMEM;
  }
  *out = c;
  return 0;
}

void lsi_crew_spin(struct lsi_crew *c, uint32_t ns) { c->spin_ns = ns; }

void lsi_crew_trace(struct lsi_crew *c, struct lsi_trace *trace) { c->trace = trace; }

void lsi_crew_limit(struct lsi_crew *c, uint32_t threads) {
  lsi_os_lock(c->mutex);
  c->threads = c->most = LSI_MIN(threads, MEMBERS_MOST);
  lsi_os_unlock(c->mutex);
}

static void free_member(struct lsi_member *m) {
  if (m->home.bell >= 0) lsi_os_bell_destroy(m->home.bell);
  if (m->cond) lsi_os_cond_destroy(m->cond);
  if (m->mutex) lsi_os_mutex_destroy(m->mutex);
  lsi_free(m);
}

void lsi_crew_destroy(struct lsi_crew *c) {
  if (!c) return;
  for (uint32_t i = 0; i < c->n; i++) {
    struct lsi_member *m = c->members[i];
    lsi_os_lock(m->mutex);
    m->leaves = true;
    lsi_os_wake_all(m->cond);
    lsi_os_unlock(m->mutex);
  }
  for (uint32_t i = 0; i < c->n; i++) {
    if (c->by_hand) lsi_home_clear(&c->members[i]->home);
    else lsi_os_thread_join(c->members[i]->thread);
    free_member(c->members[i]);
  }
  for (struct lsi_crew_device *d = c->devices, *next; d; d = next) {
    next = d->next;
    lsi_free(d);
  }
  lsi_free(c->members);
  if (c->mutex) lsi_os_mutex_destroy(c->mutex);
  lsi_free(c);
}

/* Asks the member to give back what it does not use, now or when it has nothing else to do. */
static void ask_to_trim(struct lsi_crew *c, struct lsi_member *m) {
  lsi_os_lock(m->mutex);
  m->trims = true;
  if (c->by_hand) trim(m);
  lsi_os_wake_all(m->cond);
  lsi_os_unlock(m->mutex);
}

void lsi_crew_trim(struct lsi_crew *c) {
  lsi_os_lock(c->mutex);
  for (uint32_t i = 0; i < c->n; i++) ask_to_trim(c, c->members[i]);
  for (uint32_t i = 0; i < c->n; i++) {
    struct lsi_member *m = c->members[i];
    lsi_os_lock(m->mutex);
    while (m->trims) lsi_os_wait(m->cond, m->mutex, -1);
    lsi_os_unlock(m->mutex);
  }
  lsi_os_unlock(c->mutex);
}

static int add_member(struct lsi_crew *c, struct lsi_error *err) {
  struct lsi_member *m = lsi_calloc(1, sizeof *m);
  if (m) {
    m->home.bell = -1;
    m->home.lends = -1;
    m->mutex = lsi_os_mutex_create();
    m->cond = lsi_os_cond_create();
  }
  if (!m || !m->mutex || !m->cond) {
    if (m) free_member(m);
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a worker thread");
  }
  m->mail_end = &m->mail;
  m->waiting_end = &m->waiting;
  m->home.index = c->n;
  m->home.threads = c->threads;
  m->home.open_limit = lsi_os_open_limit();
  if (c->by_hand || lsi_os_bell_create(&m->home.bell) != 0) m->home.bell = -1; /* goes without */
  if (c->trace && c->n + 1 < c->trace->n_rings) m->home.trace = &c->trace->rings[c->n];
  m->home.pool = c->pool;
  m->spin.ns = c->spin_ns;
  char name[16];
  snprintf(name, sizeof name, "lsio-%u", c->n);
  if (m->home.trace) lsi_trace_name(m->home.trace, name);
  const int os = c->by_hand ? 0 : lsi_os_thread_start(&m->thread, name, work, m);
  if (!os) {
    c->members[c->n++] = m;
    return 0;
  }
  free_member(m);
  lsi_fail(err, LSIO_ERR_LIMIT, os, "a worker thread could not be started");
  lsi_error_remedy(err, "lower --workers, or raise the limits of memory and threads (ulimit -v, -u)");
  return LSIO_ERR_LIMIT;
}

/* ---- devices: what is in flight is counted over all runs ---- */

static struct lsi_device_state *device_of(struct lsi_crew *c, uint64_t id,
                                          const struct lsi_device_state *new) {
  for (struct lsi_crew_device *d = c->devices; d; d = d->next)
    if (d->id == id) return &d->state;
  struct lsi_crew_device *d = lsi_alloc_aligned(LSI_CACHE_LINE, sizeof *d);
  if (!d) return NULL;
  d->id = id;
  d->state.cap = new->cap;
  d->state.block = new->block;
  atomic_init(&d->state.in_flight, 0);
  d->next = c->devices;
  c->devices = d;
  return &d->state;
}

/* One that was given a depth of its own keeps to that. */
static int share_devices(struct lsi_crew *c, struct lsi_run *run) {
  if (run->config.queue_depth || !run->config.device_ids) return 0;
  for (uint32_t i = 0; i < run->wave.plan->n_devices; i++) {
    run->devices[i] = device_of(c, run->config.device_ids[i], &run->own_devices[i]);
    if (!run->devices[i]) return LSIO_ERR_NOMEM;
  }
  return 0;
}

/* ---- a run comes ---- */

static void post(struct lsi_worker *w) {
  struct lsi_member *m = (struct lsi_member *)w->home; /* its first field */
  w->next = NULL;
  atomic_fetch_add(&m->load, 1);
  lsi_os_lock(m->mutex);
  *m->mail_end = w;
  m->mail_end = &w->next;
  atomic_fetch_add(&m->home.others, 1);
  lsi_os_unlock(m->mutex);
  lsi_rouse(&m->home);
  lsi_os_wake_all(m->cond); /* or the thread would wake up to wait for the mutex */
}

/* Of those that this run has not got: `used` is its mark. */
static struct lsi_member *least_loaded(const struct lsi_crew *c, const struct lsi_run *run) {
  struct lsi_member *best = NULL;
  for (uint32_t i = 0; i < c->n; i++) {
    struct lsi_member *m = c->members[i];
    if (m->used != run && (!best || atomic_load(&m->load) < atomic_load(&best->load))) best = m;
  }
  return best;
}

int lsi_crew_take_up(struct lsi_crew *c, struct lsi_run *run, struct lsi_error *err) {
  const uint32_t n = run->n_workers;
  int rc = n <= c->most ? 0 : lsi_fail(err, LSIO_ERR_LIMIT, 0, "more than %u workers", c->most);
  lsi_os_lock(c->mutex);
  while (rc == 0 && c->n < n) rc = add_member(c, err);
  if (rc == 0 && share_devices(c, run) < 0)
    rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for what is known of devices");
  for (uint32_t i = 0; rc == 0 && i < n; i++) {
    struct lsi_member *m = n == c->n ? c->members[i] : least_loaded(c, run);
    m->used = run;
    run->workers[i].home = &m->home;
    atomic_store(&run->workers[i].roused, &m->home);
  }
  const bool tight = run->config.share * n < c->n * LSI_ARENA_USUAL;
  /* The first one may look at all of them at once: to rouse them when it fails. With the last one the run may
   * end, and be gone. */
  for (uint32_t i = 0; rc == 0 && i < n; i++) post(&run->workers[i]);
  for (uint32_t i = 0; i < c->n; i++) {
    if (tight && rc == 0 && c->members[i]->used != run) ask_to_trim(c, c->members[i]);
    c->members[i]->used = NULL;
  }
  lsi_os_unlock(c->mutex);
  return rc;
}
