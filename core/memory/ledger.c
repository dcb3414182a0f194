#include "memory/ledger.h"

#include <stdatomic.h>

#include "ground/mem.h"
#include "seams/os.h"

struct lsi_ledger {
  atomic_uint owners;
  atomic_uint_fast64_t shared_bytes, lent_bytes; /* of blocks */
  struct lsi_mutex *mutex; /* of all that follows */
  uint64_t limit, held_bytes;
  uint32_t n_held;
  struct lsi_claim *first, *last; /* those that wait, in the order in which they came */
  atomic_uint n_waiting; /* read without the mutex, too */
  uint32_t n_beyond[2]; /* held without room; [1]: by who blocks */
};

struct lsi_ledger *lsi_ledger_create(void) {
  struct lsi_ledger *l = lsi_calloc(1, sizeof *l);
  if (l && (l->mutex = lsi_os_mutex_create())) {
    l->limit = UINT64_MAX;
    atomic_init(&l->owners, 1);
    return l;
  }
  lsi_free(l);
  return NULL;
}

void lsi_ledger_limit(struct lsi_ledger *l, uint64_t bytes) {
  lsi_os_lock(l->mutex); /* somebody may look */
  l->limit = bytes;
  lsi_os_unlock(l->mutex);
}

void lsi_ledger_hold(struct lsi_ledger *l) { atomic_fetch_add_explicit(&l->owners, 1, memory_order_relaxed); }

void lsi_ledger_drop(struct lsi_ledger *l) {
  if (!l || atomic_fetch_sub_explicit(&l->owners, 1, memory_order_acq_rel) != 1) return;
  lsi_os_mutex_destroy(l->mutex);
  lsi_free(l);
}

/* ---- under the mutex ---- */

static void join_queue(struct lsi_ledger *l, struct lsi_claim *c) {
  c->state = LSI_CLAIM_WAITS;
  c->passed = 0;
  c->since_ns = lsi_os_now_ns();
  c->before = l->last;
  c->next = NULL;
  if (l->last) l->last->next = c;
  else l->first = c;
  l->last = c;
}

static void leave_queue(struct lsi_ledger *l, struct lsi_claim *c) {
  if (c->before) c->before->next = c->next;
  else l->first = c->next;
  if (c->next) c->next->before = c->before;
  else l->last = c->before;
  c->state = LSI_CLAIM_NONE;
  l->n_waiting--;
}

static bool has_room(const struct lsi_ledger *l, const struct lsi_claim *c) {
  const uint64_t lent = LSI_MIN(atomic_load(&l->lent_bytes), l->limit / 2);
  return !l->n_held || (c->bytes <= l->limit - lent && l->held_bytes <= l->limit - lent - c->bytes);
}

static void hold(struct lsi_ledger *l, struct lsi_claim *c) {
  c->state = LSI_CLAIM_HELD;
  l->n_held++;
  l->held_bytes += c->bytes;
}

static void let_go(struct lsi_ledger *l, struct lsi_claim *c) {
  c->state = LSI_CLAIM_NONE;
  l->n_held--;
  l->held_bytes -= c->bytes;
  l->n_beyond[c->blocks] -= c->beyond;
  c->beyond = false;
}

/* The oldest that waits does so any longer although another one goes before it. */
static bool lets_pass(struct lsi_claim *oldest, uint64_t now) {
  if (oldest->passed >= LSI_LEDGER_PASSES || now - oldest->since_ns >= LSI_LEDGER_NS) return false;
  oldest->passed++;
  return true;
}

/* The next that finds room, held from now on; NULL: none. */
static struct lsi_claim *grant(struct lsi_ledger *l) {
  struct lsi_claim *oldest = l->first, *c = oldest;
  while (c && !has_room(l, c)) c = c->next;
  if (!c || (c != oldest && !lets_pass(oldest, lsi_os_now_ns()))) return NULL;
  leave_queue(l, c);
  hold(l, c);
  return c;
}

/* All that find room. Lets go of the mutex while it tells them. */
static void grant_all(struct lsi_ledger *l) {
  for (struct lsi_claim *c; (c = grant(l));) {
    void (*const granted)(void *) = c->granted;
    void *const user = c->user;
    if (!granted) continue;
    lsi_os_unlock(l->mutex);
    granted(user);
    lsi_os_lock(l->mutex);
  }
}

/* ---- */

bool lsi_ledger_ask(struct lsi_ledger *l, struct lsi_claim *c) {
  lsi_os_lock(l->mutex);
  atomic_fetch_add(&l->n_waiting, 1); /* before it looks: what the program gives back now grants it */
  bool now = has_room(l, c);
  if (now && l->first) now = lets_pass(l->first, lsi_os_now_ns());
  if (now) {
    atomic_fetch_sub(&l->n_waiting, 1);
    hold(l, c);
  } else {
    join_queue(l, c);
  }
  lsi_os_unlock(l->mutex);
  return now;
}

bool lsi_ledger_waits(struct lsi_ledger *l, const struct lsi_claim *c) {
  lsi_os_lock(l->mutex);
  const bool waits = c->state == LSI_CLAIM_WAITS;
  lsi_os_unlock(l->mutex);
  return waits;
}

/* Those that only insist may have to wait for a thread that one which blocks is on. */
static bool is_first_that_insists(const struct lsi_ledger *l, const struct lsi_claim *c) {
  const struct lsi_claim *first = NULL;
  for (const struct lsi_claim *x = l->first; x; x = x->next)
    if (x->insists && (!first || (x->blocks && !first->blocks))) first = x;
  return first == c;
}

static bool may_go_beyond(const struct lsi_ledger *l, const struct lsi_claim *c) {
  const uint64_t waited = lsi_os_now_ns() - c->since_ns;
  /* Who blocks goes on once it has it, so that it ends; another one may wait for a thread. */
  const bool others = c->blocks ? l->n_beyond[1] : l->n_beyond[0] + l->n_beyond[1];
  return waited >= (others ? LSI_LEDGER_LONG_NS : LSI_LEDGER_NS) && is_first_that_insists(l, c);
}

bool lsi_ledger_insist(struct lsi_ledger *l, struct lsi_claim *c) {
  lsi_os_lock(l->mutex);
  if (c->state == LSI_CLAIM_WAITS && may_go_beyond(l, c)) {
    leave_queue(l, c);
    hold(l, c);
    c->beyond = true;
    l->n_beyond[c->blocks]++;
  }
  const bool held = c->state == LSI_CLAIM_HELD;
  lsi_os_unlock(l->mutex);
  return held;
}

bool lsi_ledger_is_short(struct lsi_ledger *l) {
  lsi_os_lock(l->mutex);
  const bool is_short = l->n_waiting > 0;
  lsi_os_unlock(l->mutex);
  return is_short;
}

bool lsi_ledger_withdraw(struct lsi_ledger *l, struct lsi_claim *c) {
  lsi_os_lock(l->mutex);
  const bool waited = c->state == LSI_CLAIM_WAITS;
  if (waited) leave_queue(l, c);
  if (waited) grant_all(l); /* those that it kept from passing */
  lsi_os_unlock(l->mutex);
  return waited;
}

void lsi_ledger_give_back(struct lsi_ledger *l, struct lsi_claim *c) {
  lsi_os_lock(l->mutex);
  if (c->state == LSI_CLAIM_HELD) let_go(l, c);
  grant_all(l);
  lsi_os_unlock(l->mutex);
}

/* ---- blocks ---- */

bool lsi_ledger_share(struct lsi_ledger *l, uint64_t bytes) {
  uint64_t now = atomic_load_explicit(&l->shared_bytes, memory_order_relaxed);
  do {
    if (lsi_sat_add(now, bytes) > l->limit / 2) return false;
  } while (!atomic_compare_exchange_weak_explicit(&l->shared_bytes, &now, now + bytes, memory_order_relaxed,
                                                  memory_order_relaxed));
  return true;
}

void lsi_ledger_unshare(struct lsi_ledger *l, uint64_t bytes) {
  atomic_fetch_sub_explicit(&l->shared_bytes, bytes, memory_order_relaxed);
}

void lsi_ledger_lend(struct lsi_ledger *l, uint64_t bytes) { atomic_fetch_add(&l->lent_bytes, bytes); }

void lsi_ledger_regain(struct lsi_ledger *l, uint64_t bytes) {
  atomic_fetch_sub(&l->lent_bytes, bytes);
  if (LSI_LIKELY(!atomic_load(&l->n_waiting))) return;
  lsi_os_lock(l->mutex);
  grant_all(l);
  lsi_os_unlock(l->mutex);
}

/* ---- */

void lsi_ledger_look(struct lsi_ledger *l, struct lsi_ledger_figures *out) {
  lsi_os_lock(l->mutex);
  *out = (struct lsi_ledger_figures){.limit = l->limit,
                                     .held = l->held_bytes,
                                     .shared = atomic_load(&l->shared_bytes),
                                     .lent = atomic_load(&l->lent_bytes),
                                     .waits = atomic_load(&l->n_waiting)};
  lsi_os_unlock(l->mutex);
}
