#include "engine/loop/crew.h"

#include <stdio.h>

#include "engine/loop/home.h"
#include "engine/loop/member.h"
#include "ground/mem.h"

#define MEMBERS_MOST 1024u

struct lsi_crew_device {
  struct lsi_device_state state;
  uint64_t id;
  struct lsi_crew_device *next;
};

struct lsi_crew {
  bool by_hand;             /* there are no threads: lsi_crew_turn */
  struct lsi_pool *pool;
  struct lsi_descriptors descriptors;
  struct lsi_trace *trace;  /* NULL: none */
  uint32_t threads;         /* that it usually has */
  uint32_t spin_ns;         /* a thread waits awake so long, where one job follows another */
  uint32_t most;            /* that it may have */
  struct lsi_mutex *mutex;  /* of what follows */
  struct lsi_member **members;
  uint32_t n;
  struct lsi_crew_device *devices;
};

/* ---- looks and turns from outside ---- */

enum lsi_crew_turn lsi_crew_turn(struct lsi_crew *c, uint32_t i, uint64_t *wait_ns) {
  struct lsi_member *m = c->members[i];
  const enum lsi_crew_turn t = lsi_member_step(m, 0);
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
  if (c->by_hand) lsi_member_trim(m);
  lsi_rouse(&m->home);
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
  for (unsigned k = 0; k < LSI_MEMBER_KINDS; k++) m->waiting[k].end = &m->waiting[k].first;
  m->home.index = c->n;
  m->home.threads = c->threads;
  m->home.open_limit = lsi_os_open_limit();
  m->home.descriptors = &c->descriptors;
  if (c->by_hand || lsi_os_bell_create(&m->home.bell) != 0) m->home.bell = -1; /* goes without */
  if (c->trace && c->n + 1 < c->trace->n_rings) m->home.trace = &c->trace->rings[c->n];
  m->home.pool = c->pool;
  m->spin.ns = c->spin_ns;
  char name[16];
  snprintf(name, sizeof name, "lsio-%u", c->n);
  if (m->home.trace) lsi_trace_name(m->home.trace, name);
  const int os = c->by_hand ? 0 : lsi_os_thread_start(&m->thread, name, lsi_member_work, m);
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

/* Of those that this run, if there is one, has not got: `used` is its mark. */
static struct lsi_member *least_loaded(const struct lsi_crew *c, const struct lsi_run *run) {
  struct lsi_member *best = NULL;
  for (uint32_t i = 0; i < c->n; i++) {
    struct lsi_member *m = c->members[i];
    if ((!run || m->used != run) && (!best || atomic_load(&m->load) < atomic_load(&best->load))) best = m;
  }
  return best;
}

/* Where all threads have something to do, and it usually has more: one more, which none of them can keep from
 * beginning. If it can't be had the run waits for its turn. */
static void grow(struct lsi_crew *c) {
  for (uint32_t i = 0; i < c->n; i++)
    if (!atomic_load(&c->members[i]->load)) return;
  struct lsi_error e;
  lsi_error_clear(&e);
  if (c->n && c->n < c->threads && !c->by_hand) add_member(c, &e);
}

/* By the one that a run of one worker would get. */
bool lsi_crew_do(struct lsi_crew *c, struct lsi_crew_task *task) {
  lsi_os_lock(c->mutex);
  grow(c);
  struct lsi_member *m = c->by_hand ? NULL : least_loaded(c, NULL);
  if (m) lsi_member_ask(m, task);
  lsi_os_unlock(c->mutex);
  return m;
}

/* Threads that have something to do get theirs first: who is free may be through with the run before they
 * look, and ends it then without them. With the last one the run may end, and be gone. */
static void post_all(const struct lsi_run *run) {
  struct lsi_worker *free_ones[MEMBERS_MOST];
  uint32_t n = 0;
  for (uint32_t i = 0, all = run->n_workers; i < all; i++) {
    struct lsi_worker *w = &run->workers[i];
    if (atomic_load(&((struct lsi_member *)w->home)->load)) lsi_member_post(w);
    else free_ones[n++] = w;
  }
  for (uint32_t i = 0; i < n; i++) lsi_member_post(free_ones[i]);
}

int lsi_crew_take_up(struct lsi_crew *c, struct lsi_run *run, struct lsi_error *err) {
  const uint32_t n = run->n_workers;
  int rc = n <= c->most ? 0 : lsi_fail(err, LSIO_ERR_LIMIT, 0, "more than %u workers", c->most);
  lsi_os_lock(c->mutex);
  while (rc == 0 && c->n < n) rc = add_member(c, err);
  grow(c);
  if (rc == 0 && share_devices(c, run) < 0)
    rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for what is known of devices");
  for (uint32_t i = 0; rc == 0 && i < n; i++) {
    struct lsi_member *m = n == c->n ? c->members[i] : least_loaded(c, run);
    m->used = run;
    run->workers[i].home = &m->home;
    atomic_store(&run->workers[i].roused, &m->home);
  }
  const bool tight = run->config.share * n < c->n * LSI_ARENA_USUAL;
  if (rc == 0) post_all(run); /* the first one may look at all of them at once: to rouse them when it fails */
  for (uint32_t i = 0; i < c->n; i++) {
    if (tight && rc == 0 && c->members[i]->used != run) ask_to_trim(c, c->members[i]);
    c->members[i]->used = NULL;
  }
  lsi_os_unlock(c->mutex);
  return rc;
}
