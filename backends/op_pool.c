#include "op_pool.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "ground/mem.h"
#include "op_list.h"
#include "seams/os.h"

#define THREADS_ALL 64u /* of the whole machine: enough to keep a disk of queue depth 64 busy */
#define THREADS_MOST 32u
#define THREADS_LEAST 8u
#define NS_PER_S 1000000000u

struct lsi_op_pool {
  void (*work)(struct lsi_op *op);
  pthread_mutex_t mutex;
  pthread_cond_t wanted; /* threads wait here */
  pthread_cond_t ready;  /* the instance waits here */
  /* Under the mutex. */
  struct lsi_op_list queue;
  struct lsi_op_list done;
  uint32_t queued;       /* in `queue` */
  uint32_t idle;         /* threads that wait */
  bool stop;
  bool waiting;          /* the instance does */
  /* The instance's own. */
  int bell;
  uint32_t held;         /* operations put and not taken */
  uint32_t n_threads;
  uint32_t threads_max;
  struct lsi_thread *threads[THREADS_MOST];
};

uint32_t lsi_op_pool_threads(uint32_t workers) {
  uint32_t share = THREADS_ALL / LSI_MAX(workers, 1u);
  return LSI_MIN(LSI_MAX(share, THREADS_LEAST), THREADS_MOST);
}

/* Under the mutex. */
static void finished(struct lsi_op_pool *p, struct lsi_op *op) {
  bool first = !p->done.first;
  lsi_op_list_add(&p->done, op);
  if (p->waiting) pthread_cond_signal(&p->ready);
  if (first && p->bell >= 0) lsi_os_bell_ring(p->bell);
}

static void thread_main(void *arg) {
  struct lsi_op_pool *p = arg;
  pthread_mutex_lock(&p->mutex);
  while (!p->stop) {
    struct lsi_op *op = lsi_op_list_take(&p->queue);
    if (!op) {
      p->idle++;
      pthread_cond_wait(&p->wanted, &p->mutex);
      p->idle--;
      continue;
    }
    p->queued--;
    pthread_mutex_unlock(&p->mutex);
    p->work(op);
    pthread_mutex_lock(&p->mutex);
    finished(p, op);
  }
  pthread_mutex_unlock(&p->mutex);
}

struct lsi_op_pool *lsi_op_pool_create(void (*work)(struct lsi_op *op), uint32_t threads, int bell) {
  struct lsi_op_pool *p = lsi_calloc(1, sizeof *p);
  if (!p) return NULL;
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_mutex_init(&p->mutex, NULL);
  pthread_cond_init(&p->wanted, NULL);
  pthread_cond_init(&p->ready, &attr);
  pthread_condattr_destroy(&attr);
  p->work = work;
  p->bell = bell;
  p->threads_max = LSI_MIN(LSI_MAX(threads, 1u), THREADS_MOST);
  return p;
}

void lsi_op_pool_destroy(struct lsi_op_pool *p) {
  if (!p) return;
  pthread_mutex_lock(&p->mutex);
  p->stop = true;
  pthread_cond_broadcast(&p->wanted);
  pthread_mutex_unlock(&p->mutex);
  for (uint32_t i = 0; i < p->n_threads; i++) lsi_os_thread_join(p->threads[i]);
  pthread_cond_destroy(&p->wanted);
  pthread_cond_destroy(&p->ready);
  pthread_mutex_destroy(&p->mutex);
  lsi_free(p);
}

void lsi_op_pool_put(struct lsi_op_pool *p, struct lsi_op *first, uint32_t n) {
  if (!n) return;
  p->held += n;
  pthread_mutex_lock(&p->mutex);
  for (struct lsi_op *op = first, *next; op; op = next) {
    next = op->next;
    lsi_op_list_add(&p->queue, op);
  }
  p->queued += n;
  for (uint32_t wake = LSI_MIN(n, p->idle); wake; wake--) pthread_cond_signal(&p->wanted);
  uint32_t more = p->queued > p->idle ? p->queued - p->idle : 0;
  pthread_mutex_unlock(&p->mutex);
  while (more-- && p->n_threads < p->threads_max &&
         lsi_os_thread_start(&p->threads[p->n_threads], "lsio-pread", thread_main, p) == 0)
    p->n_threads++;
  if (p->n_threads) return;
  /* Not one thread to be had: slower, but it gets done. */
  pthread_mutex_lock(&p->mutex);
  struct lsi_op *op;
  while ((op = lsi_op_list_take(&p->queue))) {
    p->work(op);
    finished(p, op);
  }
  p->queued = 0;
  pthread_mutex_unlock(&p->mutex);
}

/* Under the mutex: until something is done or the time is over. */
static void wait_done(struct lsi_op_pool *p, int64_t timeout_ns) {
  struct timespec t = {0};
  if (timeout_ns > 0) {
    uint64_t at;
    if (lsi_add_overflow(lsi_os_now_ns(), (uint64_t)timeout_ns, &at)) at = INT64_MAX;
    t = (struct timespec){.tv_sec = (time_t)(at / NS_PER_S), .tv_nsec = (long)(at % NS_PER_S)};
  }
  p->waiting = true;
  while (!p->done.first) {
    if (timeout_ns < 0)
      pthread_cond_wait(&p->ready, &p->mutex);
    else if (pthread_cond_timedwait(&p->ready, &p->mutex, &t) == ETIMEDOUT)
      break;
  }
  p->waiting = false;
}

int lsi_op_pool_take(struct lsi_op_pool *p, struct lsi_op **done, int max,
                        int64_t timeout_ns) {
  if (!p->held) return 0;
  pthread_mutex_lock(&p->mutex);
  if (!p->done.first && timeout_ns != 0) wait_done(p, timeout_ns);
  int n = 0;
  while (n < max && (done[n] = lsi_op_list_take(&p->done))) n++;
  pthread_mutex_unlock(&p->mutex);
  p->held -= (uint32_t)n;
  return n;
}

void lsi_op_pool_cancel(struct lsi_op_pool *p) {
  pthread_mutex_lock(&p->mutex);
  struct lsi_op *op;
  while ((op = lsi_op_list_take(&p->queue))) {
    op->result = LSIO_ERR_CANCELLED;
    op->os_code = 0;
    finished(p, op);
  }
  p->queued = 0;
  pthread_mutex_unlock(&p->mutex);
}

uint32_t lsi_op_pool_held(const struct lsi_op_pool *p) { return p->held; }
