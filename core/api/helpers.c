/* See helpers.h. */
#include "api/helpers.h"

#include "ground/mem.h"
#include "seams/os.h"

struct lsi_helpers {
  struct lsi_mutex *mutex; /* of what follows */
  struct lsi_cond *come;   /* a task, or the end */
  struct lsi_task *first, **end;
  uint32_t waiting;        /* tasks */
  uint32_t idle, n;        /* threads; idle: asleep, or woken and not yet there */
  bool looks;              /* one of the idle wakes soon, and looks for tasks */
  bool claimed;            /* a task was since */
  struct lsi_thread *threads[LSI_HELPERS_MOST];
  bool leave;
};

struct lsi_helpers *lsi_helpers_create(void) {
  struct lsi_helpers *h = lsi_calloc(1, sizeof *h);
  if (!h) return NULL;
  h->end = &h->first;
  h->mutex = lsi_os_mutex_create();
  h->come = lsi_os_cond_create();
  if (h->mutex && h->come) return h;
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

/* The oldest task; under the mutex. */
static void do_first(struct lsi_helpers *h) {
  struct lsi_task *t = h->first;
  h->first = t->next;
  if (!h->first) h->end = &h->first;
  h->waiting--;
  lsi_os_unlock(h->mutex);
  t->run(t->arg);
  lsi_os_lock(h->mutex);
}

/* Under the mutex, as all of the following. */
static void sleep_until_woken(struct lsi_helpers *h) {
  const bool looks = h->claimed && !h->looks;
  if (looks) h->looks = true;
  h->claimed = false;
  h->idle++;
  lsi_os_wait(h->come, h->mutex, looks ? LSI_HELPERS_LOOK_NS : -1);
  h->idle--;
  if (looks) h->looks = false;
}

static void help(void *arg) {
  struct lsi_helpers *h = arg;
  lsi_os_lock(h->mutex);
  for (;;) {
    while (h->first) do_first(h);
    if (h->leave) break;
    sleep_until_woken(h);
  }
  lsi_os_unlock(h->mutex);
}

static void append(struct lsi_helpers *h, struct lsi_task *t) {
  t->next = NULL;
  *h->end = t;
  h->end = &t->next;
  h->waiting++;
}

static void wake(struct lsi_helpers *h) {
  if (h->waiting > h->idle && h->n < LSI_HELPERS_MOST &&
      lsi_os_thread_start(&h->threads[h->n], "lsio-help", help, h) == 0)
    h->n++;
  if (!h->n) do_first(h);
  lsi_os_wake_all(h->come);
}

void lsi_helpers_do(struct lsi_helpers *h, struct lsi_task *t) {
  lsi_os_lock(h->mutex);
  append(h, t);
  wake(h);
  lsi_os_unlock(h->mutex);
}

/* Two at a time are not claimed at once. */
void lsi_helpers_offer(struct lsi_helpers *h, struct lsi_task *t) {
  lsi_os_lock(h->mutex);
  append(h, t);
  if (!h->looks || h->waiting > 1) wake(h);
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
    h->claimed = true;
  }
  lsi_os_unlock(h->mutex);
  return found;
}
