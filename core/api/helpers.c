/* See helpers.h. */
#include "api/helpers.h"

#include "ground/mem.h"
#include "seams/os.h"

struct lsi_helpers {
  struct lsi_mutex *mutex; /* of what follows */
  struct lsi_cond *come;   /* a task, or the end */
  struct lsi_cond *gone;   /* a task has ended */
  struct lsi_task *first, **end;
  uint32_t waiting;        /* tasks */
  uint32_t idle, n;        /* threads; idle: asleep, or woken and not yet there */
  struct lsi_thread *threads[LSI_HELPERS_MOST];
  bool leave;
};

struct lsi_helpers *lsi_helpers_create(void) {
  struct lsi_helpers *h = lsi_calloc(1, sizeof *h);
  if (!h) return NULL;
  h->end = &h->first;
  h->mutex = lsi_os_mutex_create();
  h->come = lsi_os_cond_create();
  h->gone = lsi_os_cond_create();
  if (h->mutex && h->come && h->gone) return h;
  lsi_helpers_destroy(h);
  return NULL;
}

void lsi_helpers_destroy(struct lsi_helpers *h) {
  if (!h) return;
  if (h->n) {
    lsi_os_lock(h->mutex);
    h->leave = true;
    lsi_os_wake_all(h->come);
    lsi_os_unlock(h->mutex);
  }
  for (uint32_t i = 0; i < h->n; i++) lsi_os_thread_join(h->threads[i]);
  lsi_os_cond_destroy(h->gone);
  lsi_os_cond_destroy(h->come);
  lsi_os_mutex_destroy(h->mutex);
  lsi_free(h);
}

uint32_t lsi_helpers_size(struct lsi_helpers *h) {
  lsi_os_lock(h->mutex);
  const uint32_t n = h->n;
  lsi_os_unlock(h->mutex);
  return n;
}

/* Does the oldest task; under the mutex. When it has been told of, its owner may free it. */
static void do_first(struct lsi_helpers *h) {
  struct lsi_task *t = h->first;
  h->first = t->next;
  if (!h->first) h->end = &h->first;
  h->waiting--;
  const bool goes = t->goes;
  lsi_os_unlock(h->mutex);
  t->run(t->arg);
  lsi_os_lock(h->mutex);
  if (goes) return;
  t->ended = true;
  if (t->tell) t->tell(t->arg);
  lsi_os_wake_all(h->gone);
}

static void help(void *arg) {
  struct lsi_helpers *h = arg;
  lsi_os_lock(h->mutex);
  for (;;) {
    while (h->first) do_first(h);
    if (h->leave) break;
    h->idle++;
    lsi_os_wait(h->come, h->mutex, -1);
    h->idle--;
  }
  lsi_os_unlock(h->mutex);
}

void lsi_helpers_do(struct lsi_helpers *h, struct lsi_task *t) {
  lsi_os_lock(h->mutex);
  t->next = NULL;
  t->ended = false;
  *h->end = t;
  h->end = &t->next;
  h->waiting++;
  if (h->waiting > h->idle && h->n < LSI_HELPERS_MOST &&
      lsi_os_thread_start(&h->threads[h->n], "lsio-help", help, h) == 0)
    h->n++;
  if (!h->n) do_first(h);
  lsi_os_wake_all(h->come);
  lsi_os_unlock(h->mutex);
}

bool lsi_helpers_are_behind(struct lsi_helpers *h) {
  lsi_os_lock(h->mutex);
  const bool behind = h->first;
  lsi_os_unlock(h->mutex);
  return behind;
}

bool lsi_helpers_claim(struct lsi_helpers *h, struct lsi_task *t) {
  lsi_os_lock(h->mutex);
  struct lsi_task **at = &h->first;
  while (*at && *at != t) at = &(*at)->next;
  const bool found = *at;
  if (found) {
    *at = t->next;
    if (!*at) h->end = at;
    h->waiting--;
  }
  lsi_os_unlock(h->mutex);
  return found;
}

bool lsi_helpers_wait(struct lsi_helpers *h, struct lsi_task *t, int64_t timeout_ns) {
  const uint64_t until = timeout_ns > 0 ? lsi_os_now_ns() + (uint64_t)timeout_ns : 0;
  lsi_os_lock(h->mutex);
  while (!t->ended && timeout_ns) {
    lsi_os_wait(h->gone, h->mutex, timeout_ns);
    if (timeout_ns < 0) continue;
    const uint64_t now = lsi_os_now_ns();
    timeout_ns = now < until ? (int64_t)(until - now) : 0;
  }
  const bool ended = t->ended;
  lsi_os_unlock(h->mutex);
  return ended;
}
