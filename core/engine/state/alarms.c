#include "engine/state/alarms.h"

#include "ground/mem.h"
#include "seams/os.h"

struct lsi_alarms {
  struct lsi_mutex *mutex; /* of what follows */
  struct lsi_cond *come;   /* one is due before the thread would look, or it is to leave */
  struct lsi_cond *rung;   /* the one that rang does so no more */
  struct lsi_alarm *first, *last; /* by their time */
  const struct lsi_alarm *rings; /* NULL also when it has been dropped by its own ring */
  uint64_t looks_ns;       /* when the thread will look */
  struct lsi_thread *thread;
  bool begun, leaves;
};

static _Thread_local const struct lsi_alarm *rings_here;

struct lsi_alarms *lsi_alarms_create(void) {
  struct lsi_alarms *a = lsi_calloc(1, sizeof *a);
  if (!a) return NULL;
  a->looks_ns = UINT64_MAX;
  a->mutex = lsi_os_mutex_create();
  a->come = lsi_os_cond_create();
  a->rung = lsi_os_cond_create();
  if (a->mutex && a->come && a->rung) return a;
  lsi_alarms_destroy(a);
  return NULL;
}

/* ---- under the mutex ---- */

/* Most come in the order of their times. */
static void put(struct lsi_alarms *a, struct lsi_alarm *m) {
  struct lsi_alarm *before = a->last;
  while (before && before->at_ns > m->at_ns) before = before->before;
  m->set = true;
  m->before = before;
  m->next = before ? before->next : a->first;
  if (m->next) m->next->before = m;
  else a->last = m;
  if (before) before->next = m;
  else a->first = m;
}

static void take(struct lsi_alarms *a, struct lsi_alarm *m) {
  if (m->before) m->before->next = m->next;
  else a->first = m->next;
  if (m->next) m->next->before = m->before;
  else a->last = m->before;
  m->set = false;
}

/* Lets go of the mutex while it rings. */
static void ring_first(struct lsi_alarms *a, uint64_t now) {
  struct lsi_alarm *m = a->first;
  take(a, m);
  a->rings = m;
  lsi_os_unlock(a->mutex);
  rings_here = m;
  const uint64_t again = m->ring(m->user, now);
  rings_here = NULL;
  lsi_os_lock(a->mutex);
  if (!a->rings) return;
  a->rings = NULL;
  if (again) m->at_ns = again; /* else it may have been set anew */
  if (again && !m->dropped) put(a, m);
  lsi_os_wake_all(a->rung);
}

static uint64_t look(struct lsi_alarms *a) {
  uint64_t now;
  while (a->first && a->first->at_ns <= (now = lsi_os_now_ns())) ring_first(a, now);
  return a->first ? a->first->at_ns : UINT64_MAX;
}

static void work(void *arg) {
  struct lsi_alarms *a = arg;
  lsi_os_lock(a->mutex);
  while (!a->leaves) {
    a->looks_ns = look(a);
    if (a->leaves) break;
    const uint64_t now = lsi_os_now_ns();
    const bool never = a->looks_ns == UINT64_MAX;
    if (a->looks_ns > now) lsi_os_wait(a->come, a->mutex, never ? -1 : (int64_t)(a->looks_ns - now));
  }
  lsi_os_unlock(a->mutex);
}

void lsi_alarms_destroy(struct lsi_alarms *a) {
  if (!a) return;
  if (a->begun) {
    lsi_os_lock(a->mutex);
    a->leaves = true;
    lsi_os_wake_all(a->come);
    lsi_os_unlock(a->mutex);
    lsi_os_thread_join(a->thread);
    lsi_os_lock(a->mutex);
    while (a->first) ring_first(a, UINT64_MAX);
    lsi_os_unlock(a->mutex);
  }
  lsi_os_cond_destroy(a->rung);
  lsi_os_cond_destroy(a->come);
  lsi_os_mutex_destroy(a->mutex);
  lsi_free(a);
}

/* ---- */

int lsi_alarms_begin(struct lsi_alarms *a, struct lsi_error *err) {
  lsi_os_lock(a->mutex);
  const int os = a->begun ? 0 : lsi_os_thread_start(&a->thread, "lsio-time", work, a);
  a->begun |= !os;
  lsi_os_unlock(a->mutex);
  if (!os) return 0;
  lsi_fail(err, LSIO_ERR_LIMIT, os, "the thread that minds deadlines could not be started");
  lsi_error_remedy(err, "raise the limits of memory and threads (ulimit -v, -u), or run without a deadline");
  return LSIO_ERR_LIMIT;
}

void lsi_alarms_set(struct lsi_alarms *a, struct lsi_alarm *m) {
  lsi_os_lock(a->mutex);
  put(a, m);
  if (m->at_ns < a->looks_ns) {
    a->looks_ns = m->at_ns;
    lsi_os_wake_all(a->come);
  }
  lsi_os_unlock(a->mutex);
}

void lsi_alarms_drop(struct lsi_alarms *a, struct lsi_alarm *m) {
  lsi_os_lock(a->mutex);
  m->dropped = true;
  if (m->set) take(a, m);
  if (rings_here == m) a->rings = NULL;
  while (a->rings == m) lsi_os_wait(a->rung, a->mutex, -1);
  lsi_os_unlock(a->mutex);
}

uint64_t lsi_alarms_look(struct lsi_alarms *a) {
  lsi_os_lock(a->mutex);
  const uint64_t next = look(a);
  lsi_os_unlock(a->mutex);
  return next;
}
