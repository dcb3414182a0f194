#include "polled.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "api/context.h"
#include "ground/mem.h"
#include "seams/os.h"

#define EVENTS 256

struct polling {
  lsio_job *job;
  lsio_queue *queue;
  struct lsio_event events[EVENTS];
  int n, at;       /* events; of them, those whose results have been returned, their blocks being held */
  uint32_t result; /* of the next one, so many have been */
  int fd, left[2]; /* readable while there is something to return; a pipe, for what has been taken. 0: none */
  bool done;       /* its end has been returned */
  bool gone;       /* its queue is, and so the job */
  struct polling *next;
};

/* Of what follows, and of `gone` of all. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gone = PTHREAD_COND_INITIALIZER;
static struct polling *polling; /* all */

static struct polling *find(const lsio_job *job) {
  pthread_mutex_lock(&mutex);
  struct polling *p = polling;
  while (p && p->job != job) p = p->next;
  pthread_mutex_unlock(&mutex);
  return p;
}

static void remember(struct polling *p) {
  pthread_mutex_lock(&mutex);
  p->next = polling;
  polling = p;
  pthread_mutex_unlock(&mutex);
}

static void let_go(struct polling *p) {
  lsio_job_release(p->job);
  lsio_queue_release(p->queue);
  if (p->fd) {
    close(p->fd);
    close(p->left[0]);
    close(p->left[1]);
  }
  pthread_mutex_lock(&mutex);
  while (!p->gone) pthread_cond_wait(&gone, &mutex);
  pthread_mutex_unlock(&mutex);
  free(p);
}

static void forget(const struct polling *p) {
  pthread_mutex_lock(&mutex);
  struct polling **at = &polling;
  while (*at != p) at = &(*at)->next;
  *at = p->next;
  pthread_mutex_unlock(&mutex);
}

/* The last one that holds it is the job, which goes before. */
static void queue_is_gone(void *user) {
  struct polling *p = user;
  pthread_mutex_lock(&mutex);
  p->gone = true;
  pthread_cond_broadcast(&gone);
  pthread_mutex_unlock(&mutex);
}

/* Gives back what the last take has lent. */
static void give_back(struct polling *p) {
  for (int i = 0; i < p->at; i++) lsio_block_release(p->events[i].block);
  p->n -= p->at;
  memmove(p->events, p->events + p->at, (size_t)p->n * sizeof *p->events);
  p->at = 0;
}

static struct polled flat(const struct lsio_event *e, uint32_t result) {
  if (e->kind == LSIO_EVENT_STEP_FAILED) {
    return (struct polled){.kind = e->kind, .error = e->error, .step = lsio_error_step(e->error)};
  }
  if (e->kind == LSIO_EVENT_DONE) return (struct polled){.kind = e->kind};
  const struct lsio_result *r = &e->results[result];
  return (struct polled){.kind = e->kind, .is_record = r->is_record, .step = r->step, .tag = r->tag, .flags = r->flags,
                         .data = r->length ? e->data + r->begin : NULL, .length = r->length};
}

/* Is there something to return of what has been taken? */
static void ring(const struct polling *p) {
  char byte;
  if (!p->fd) return;
  while (read(p->left[0], &byte, 1) == 1) {
  }
  if (p->at < p->n && write(p->left[1], "", 1) != 1) abort();
}

static int hand_out(struct polling *p, struct polled *out, size_t max) {
  size_t n = 0;
  for (; p->at < p->n && n < max; n++) {
    const struct lsio_event *e = &p->events[p->at];
    out[n] = flat(e, p->result);
    p->done = p->done || e->kind == LSIO_EVENT_DONE;
    if (e->kind == LSIO_EVENT_RESULTS && ++p->result < e->n) continue;
    p->result = 0;
    p->at++;
  }
  ring(p);
  return (int)n;
}

static int take(struct polling *p, int max, int timeout_ms) {
  const int n = lsio_queue_take(p->queue, p->events, (size_t)max, timeout_ms);
  if (n > 0) p->n = n;
  return n;
}

int polled_take(lsio_job *job, struct polled *out, size_t max, int timeout_ms) {
  struct polling *p = find(job);
  give_back(p);
  if (p->done || !max) return 0;
  const int n = p->n ? p->n : take(p, max < EVENTS ? (int)max : EVENTS, timeout_ms);
  return n < 0 ? n : hand_out(p, out, max);
}

int polled_wait(lsio_job *job) {
  struct polled c[64];
  while (find(job) && !find(job)->done)
    if (polled_take(job, c, sizeof c / sizeof *c, -1) < 0) break;
  return find(job) ? lsio_job_status(job) : lsio_wait(job, -1);
}

int polled_fd(lsio_job *job) {
  struct polling *p = find(job);
  const int queue = lsio_queue_fd(p->queue);
  if (queue < 0 || p->fd) return queue < 0 ? -1 : p->fd;
  struct epoll_event in = {.events = EPOLLIN};
  p->fd = epoll_create1(EPOLL_CLOEXEC);
  if (p->fd < 0 || pipe2(p->left, O_NONBLOCK | O_CLOEXEC) != 0 || epoll_ctl(p->fd, EPOLL_CTL_ADD, queue, &in) != 0 ||
      epoll_ctl(p->fd, EPOLL_CTL_ADD, p->left[0], &in) != 0)
    abort();
  ring(p);
  return p->fd;
}

static bool never_began(const struct polling *p) {
  struct lsio_progress now = {.struct_size = sizeof now};
  lsio_job_progress(p->job, &now);
  return !now.began && lsio_job_status(p->job) < 0;
}

/* What lsio_submit does with what is handed over, where it fails. */
static void refuse(const struct lsio_job_options *o) {
  if (o->transform && o->transform->release) o->transform->release(o->transform->user);
  if (o->output_release) o->output_release(o->output_user);
}

int polled_submit(lsio_context *context, const struct lsio_job_options *options, lsio_job **out, lsio_error **error) {
  struct lsio_job_options o = {0};
  if (!context || !out || !options || options->struct_size < sizeof o || options->queue)
    return lsio_submit(context, options, out, error);
  struct polling *p = calloc(1, sizeof *p);
  const struct lsio_queue_options q = {.struct_size = sizeof q, .flags = LSIO_QUEUE_COORDINATES,
                                       .notify_destroy = queue_is_gone, .notify_user = p};
  int rc = lsio_queue_create(context, &q, &p->queue, error);
  if (rc < 0) {
    refuse(options);
    free(p);
    return rc;
  }
  o = *options;
  o.queue = p->queue;
  rc = lsio_submit(context, &o, &p->job, error);
  if (rc == 0) take(p, 1, 0); /* which plans it, and may have its first event */
  if (rc == 0 && never_began(p)) {
    rc = lsio_job_status(p->job);
    if (error) rc = lsio_error_code(*error = lsio_error_dup(lsio_job_error(p->job)));
  }
  if (rc < 0) {
    let_go(p);
    return rc;
  }
  remember(p);
  *out = p->job;
  return 0;
}

/* One without a queue. The thread that has ended it holds it a moment longer. */
static void destroy_waited(lsio_job *job) {
  lsio_cancel(job);
  if (lsio_wait(job, -1) == LSIO_ERR_FORKED) return;
  while (atomic_load(&job->life.refs) > 1u + job->life.listed_there) usleep(20);
  lsio_job_release(job);
}

void polled_destroy(lsio_job *job) {
  struct polled c[64];
  if (!job) return;
  struct polling *p = find(job);
  if (!p) {
    destroy_waited(job);
    return;
  }
  int n = 0;
  lsio_cancel(job);
  while (!p->done && n >= 0) n = polled_take(job, c, sizeof c / sizeof *c, -1);
  if (n < 0) return; /* it is a parent's */
  give_back(p);
  forget(p);
  let_go(p);
}

void polled_destroy_all(void) {
  while (polling) polled_destroy(polling->job);
}

void polled_rest(lsio_context *context) {
  for (uint32_t lives = 1; lives;) {
    lsi_os_lock(context->mutex);
    lives = context->lives;
    lsi_os_unlock(context->mutex);
    if (lives) usleep(50);
  }
}

int64_t polled_live(const lsio_context *context) {
  return lsi_mem_live() - (context ? lsi_helpers_size(context->helpers) : 0);
}
