#include "engine/loop/member.h"

#include "engine/loop/depth.h"
#include "engine/loop/home.h"
#include "engine/loop/worker.h"

#define LOOK_NS 1000000 /* a wait for what is in flight ends after so long, to look for other runs */
#define ATTENDED_MOST 32u /* workers of each kind that take turns */
#define BACKGROUND_PART 16 /* of the bytes that normal runs begin, one goes to those in the background */
#define UNITS_CROWDED 1u /* that a worker may begin in a turn while there are other runs */

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

/* Takes up those of a kind who wait, in their order, while there is room for it: so many at once that no
 * device is left idle, so few that turns stay cheap. */
static void take_up_waiting(struct lsi_member *m, unsigned kind) {
  struct lsi_member_queue *q = &m->waiting[kind];
  while (q->first && m->n_of[kind] < ATTENDED_MOST) {
    struct lsi_worker *w = q->first;
    q->first = w->next;
    if (!q->first) q->end = &q->first;
    take_up(m, w);
  }
}

/* Those who are new wait behind the others of their kind, if any do. */
static void receive(struct lsi_member *m, struct lsi_worker *mail) {
  for (struct lsi_worker *w = mail, *next; w; w = next) {
    next = w->next;
    atomic_fetch_sub(&w->run->unseen, 1);
    struct lsi_member_queue *q = &m->waiting[kind_of(w)];
    w->next = NULL;
    *q->end = w;
    q->end = &w->next;
    take_up_waiting(m, kind_of(w));
  }
}

/* What comes of them may be mail for this very thread. */
static void do_tasks(struct lsi_member *m, struct lsi_crew_task *t) {
  for (struct lsi_crew_task *next; t; t = next) {
    next = t->next;
    atomic_fetch_sub(&m->load, 1); /* what it begins may as well be begun here */
    t->run(t->arg);
  }
}

static void open_mail(struct lsi_member *m) {
  lsi_os_lock(m->mutex);
  struct lsi_crew_task *tasks = m->tasks;
  m->tasks = NULL;
  struct lsi_worker *mail = m->mail;
  m->mail = NULL;
  m->mail_end = &m->mail;
  atomic_fetch_and_explicit(&m->home.others, LSI_CROWDED, memory_order_relaxed);
  lsi_os_unlock(m->mutex);
  receive(m, mail);
  do_tasks(m, tasks);
}

static void remove_worker(struct lsi_member *m, struct lsi_worker *w) {
  struct lsi_worker **at = &m->workers;
  while (*at != w) at = &(*at)->next;
  *at = w->next;
  m->n_of[kind_of(w)]--;
  atomic_fetch_sub(&m->load, 1);
  take_up_waiting(m, kind_of(w));
}

void lsi_member_trim(struct lsi_member *m) {
  lsi_home_clear(&m->home);
  m->trims = false;
  lsi_os_wake_all(m->cond);
}

static bool has_mail(const struct lsi_member *m) {
  return atomic_load_explicit(&m->home.others, memory_order_relaxed) & ~LSI_CROWDED;
}

/* Sleeps until there is mail, or for so long (-1: without limit, 0: not at all). False: the crew ends. */
static bool sleep_until_mail(struct lsi_member *m, int64_t ns) {
  lsi_os_lock(m->mutex);
  if (ns && !m->mail && !m->tasks && !m->leaves && !m->trims) lsi_os_wait(m->cond, m->mutex, ns);
  if (m->trims) lsi_member_trim(m);
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
 * else a slow device would decide who gets how much of it. What is resident waits for no device: of that no
 * more is begun than stays in the cache until its steps have run. */
static uint32_t may_begin(const struct lsi_member *m, bool hot) {
  unsigned rung = 0;
  struct lsi_in_flight all = {0};
  for (const struct lsi_worker *w = m->workers; w; w = w->next) {
    if (hot && !w->reader.depth.hot) continue;
    rung = LSI_MAX(rung, lsi_depth_rung(w));
    all.ops += w->reader.ops_in_flight;
    all.bytes += w->reader.bytes_in_flight;
  }
  return lsi_depth_has_room(rung, all) && (!hot || all.bytes < LSI_HOT_BYTES) ? UNITS_CROWDED : 0;
}

/* Takes it out of the mail of its thread, if it is still there and the thread has more to do than its mail:
 * one that was asleep is on its way. */
static bool withdraw(struct lsi_worker *w) {
  struct lsi_member *m = (struct lsi_member *)w->home; /* its first field */
  lsi_os_lock(m->mutex);
  const bool busy = atomic_load(&m->load) > (atomic_load(&m->home.others) & ~LSI_CROWDED);
  struct lsi_worker **at = &m->mail;
  while (*at && *at != w) at = &(*at)->next;
  const bool found = busy && *at;
  if (found) {
    *at = w->next;
    if (!*at) m->mail_end = at;
    atomic_fetch_sub_explicit(&m->home.others, 1, memory_order_relaxed);
    atomic_fetch_sub(&m->load, 1);
  }
  lsi_os_unlock(m->mutex);
  return found;
}

/* A worker has ended, and so nothing is left that another one could begin: those that their threads have not
 * seen yet, in the midst of other jobs' steps, which may take long, end with it. Returns how many. Not where
 * units were put off: the last worker of all takes them. */
static uint32_t withdraw_others(struct lsi_run *run) {
  if (LSI_LIKELY(!atomic_load(&run->unseen))) return 0;
  uint32_t n = 0;
  lsi_os_lock(run->mutex);
  for (uint32_t i = 0; i < run->n_workers && !run->late.n; i++) {
    if (!withdraw(&run->workers[i])) continue;
    lsi_worker_never_began(&run->workers[i]);
    if (run->late.workers) run->late.workers--;
    n++;
  }
  lsi_os_unlock(run->mutex);
  atomic_fetch_sub(&run->may_open, n);
  atomic_fetch_sub(&run->unseen, n);
  return n;
}

/* One turn. True: something was done. */
static bool turn(struct lsi_member *m, struct lsi_worker *w, int64_t most_ns) {
  w->may_begin = lsi_others_wait(w) ? may_begin(m, w->reader.depth.hot) : UINT32_MAX;
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
  lsi_run_worker_ended(w->run, withdraw_others(w->run)); /* which may be gone from here on */
  return true;
}

/* While all its workers wait for credits, results' turns, or who polls: sleeps for so long, or until it is
 * roused, as by who polls or stops a run. */
static void sleep_until_roused(struct lsi_member *m, int64_t ns) {
  if (m->home.bell < 0) {
    sleep_until_mail(m, LSI_MIN(ns, LOOK_NS));
    return;
  }
  atomic_store(&m->home.reaping, true); /* what comes from here on rings */
  bool sleeps = sleep_until_mail(m, 0) && !has_mail(m);
  for (const struct lsi_worker *w = m->workers; w; w = w->next) sleeps &= lsi_worker_waits(w);
  if (sleeps) lsi_os_bell_wait(m->home.bell, ns);
  atomic_store_explicit(&m->home.reaping, false, memory_order_relaxed);
}

/* Nobody can do anything now: waits for what is in flight, for mail, or until somebody may try again; at most
 * most_ns while something is in flight, to look for other runs. */
static void wait(struct lsi_member *m, int64_t most_ns) {
  struct lsi_worker *flying = NULL;
  uint64_t ns = INT64_MAX;
  for (struct lsi_worker *w = m->workers; w; w = w->next) {
    w->idle = false;
    if (w->blocked_ns) ns = LSI_MIN(ns, w->blocked_ns);
    else flying = w;
  }
  if (flying) {
    turn(m, flying, LSI_MIN((int64_t)ns, most_ns));
    return;
  }
  const uint64_t before = lsi_os_now_ns();
  sleep_until_roused(m, (int64_t)ns);
  const uint64_t slept = lsi_os_now_ns() - before;
  for (struct lsi_worker *w = m->workers; w; w = w->next)
    *(lsi_stalled(w) ? &w->figures.stalled_ns : &w->figures.submit_ns) += slept;
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

enum lsi_crew_turn lsi_member_step(struct lsi_member *m, int64_t most_ns) {
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

void lsi_member_work(void *arg) {
  struct lsi_member *m = arg;
  for (;;) {
    switch (lsi_member_step(m, LOOK_NS)) {
      case LSI_CREW_WENT: continue;
      case LSI_CREW_WAITS: wait(m, LOOK_NS); continue;
      default: break;
    }
    if (!rest(m)) break;
  }
  lsi_home_clear(&m->home);
}

/* Under its mutex, which it lets go of, or the thread would wake up to wait for that. */
static void has_come(struct lsi_member *m) {
  atomic_fetch_add(&m->home.others, 1);
  lsi_os_unlock(m->mutex);
  lsi_rouse(&m->home);
  lsi_os_wake_all(m->cond);
}

void lsi_member_post(struct lsi_worker *w) {
  struct lsi_member *m = (struct lsi_member *)w->home; /* its first field */
  w->next = NULL;
  atomic_fetch_add(&m->load, 1);
  lsi_os_lock(m->mutex);
  *m->mail_end = w;
  m->mail_end = &w->next;
  has_come(m);
}

void lsi_member_ask(struct lsi_member *m, struct lsi_crew_task *t) {
  atomic_fetch_add(&m->load, 1);
  lsi_os_lock(m->mutex);
  t->next = m->tasks;
  m->tasks = t;
  has_come(m);
}
