#include "linux/os_linux_walk.h"

#include <string.h>

#include "ground/mem.h"
#include "linux/os_linux_lister.h"
#include "seams/os.h"

#define THREADS_MOST 16u
#define THREADS_FROM 4u  /* folders that wait: fewer are not worth threads */
#define LOOK_NS 50000000 /* between looks at the watch while the others list */

/* What all threads share. */
struct walk {
  struct lsi_mutex *mutex;
  struct lsi_cond *cond;
  struct lsi_folder *waiting;  /* all below: under mutex */
  size_t n_waiting, busy;
  uint64_t listed;
  bool stop;
  struct lsi_error error;
};

/* One thread. */
struct walker {
  struct walk *walk;
  struct lsi_lister list;
};

static void failed(struct walker *w) {
  if (!w->walk->stop) w->walk->error = w->list.error;
  w->walk->stop = true;
}

/* Lists what waits until nothing does; under the mutex. `begin`: called when much waits. */
static void work(struct walker *w, void (*begin)(struct walker *w)) {
  struct walk *all = w->walk;
  while (!all->stop && (all->waiting || all->busy)) {
    if (begin && all->n_waiting >= THREADS_FROM) {
      begin(w);
      begin = NULL;
    }
    struct lsi_folder *f = all->waiting;
    if (!f) {
      lsi_os_wait(all->cond, all->mutex, w->list.watch ? LOOK_NS : -1);
      if (lsi_lister_look(&w->list, all->listed)) failed(w);
      continue;
    }
    all->waiting = f->next;
    all->n_waiting--;
    all->busy++;
    const uint64_t listed = all->listed;
    lsi_os_unlock(all->mutex);
    w->list.in = f;
    int rc = lsi_lister_folder(&w->list, listed);
    const uint64_t n = w->list.names.n;
    lsi_lister_drop(&w->list);
    lsi_os_lock(all->mutex);
    all->busy--;
    all->listed += n;
    if (rc < 0) failed(w);
    for (size_t i = f->n_folders; i > 0; i--) { /* the first of them is next */
      f->folders[i - 1]->next = all->waiting;
      all->waiting = f->folders[i - 1];
    }
    all->n_waiting += f->n_folders;
    if (lsi_lister_look(&w->list, all->listed)) failed(w);
    lsi_os_wake_all(all->cond);
  }
  lsi_os_wake_all(all->cond);
}

struct crew {
  struct walker me; /* first: `begin` gets its address */
  struct lsi_thread *threads[THREADS_MOST];
  struct walker *walkers[THREADS_MOST];
  unsigned n;
};

static void help(void *walker) {
  struct walker *w = walker;
  lsi_os_lock(w->walk->mutex);
  work(w, NULL);
  lsi_os_unlock(w->walk->mutex);
}

/* Without a thread more, those that are there do its share. */
static void begin_threads(struct walker *me) {
  struct crew *c = (struct crew *)me;
  unsigned wanted = LSI_MIN(lsi_os_cpu_count(), THREADS_MOST + 1) - 1;
  while (c->n < wanted) {
    struct walker *w = lsi_calloc(1, sizeof *w);
    if (!w) return;
    w->walk = me->walk;
    w->list.finds_folders = me->list.finds_folders;
    lsi_error_clear(&w->list.error);
    c->walkers[c->n] = w;
    if (lsi_os_thread_start(&c->threads[c->n], "lsio-list", help, w)) {
      lsi_free(w);
      return;
    }
    c->n++;
  }
}

/* Takes over what one thread found broken. */
static bool take_broken(const struct walker *w, struct lsi_names *broken) {
  const struct lsi_names *own = &w->list.broken;
  for (uint64_t i = 0; i < own->n; i++) {
    const char *name = lsi_names_get(own, i);
    if (!lsi_names_add(broken, 0, name, strlen(name))) return false;
  }
  return true;
}

static int run(struct crew *c, const char *pattern, struct lsi_names *broken, struct lsi_error *err) {
  struct walker *me = &c->me;
  int rc = lsi_lister_begin(&me->list, pattern);
  lsi_lister_drop(&me->list);
  if (rc < 0) {
    *err = me->list.error;
    return rc;
  }
  struct walk *all = me->walk;
  lsi_os_lock(all->mutex);
  for (size_t i = me->list.in->n_folders; i > 0; i--) {
    me->list.in->folders[i - 1]->next = all->waiting;
    all->waiting = me->list.in->folders[i - 1];
    all->n_waiting++;
  }
  work(me, begin_threads);
  lsi_os_unlock(all->mutex);
  bool taken = take_broken(me, broken);
  for (unsigned i = 0; i < c->n; i++) {
    lsi_os_thread_join(c->threads[i]);
    taken = taken && take_broken(c->walkers[i], broken);
    lsi_lister_free(&c->walkers[i]->list);
    lsi_free(c->walkers[i]);
  }
  if (all->stop) *err = all->error;
  if (all->stop) return all->error.code;
  return taken ? 0 : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a list of names");
}

int lsi_walk(const char *pattern, struct lsi_watch *watch, struct lsi_folder **out, struct lsi_names *broken,
             struct lsi_error *err) {
  struct walk all = {.mutex = lsi_os_mutex_create(), .cond = lsi_os_cond_create()};
  struct crew *c = lsi_calloc(1, sizeof *c);
  struct lsi_folder *root = lsi_calloc(1, sizeof *root + 1);
  int rc;
  if (!all.mutex || !all.cond || !c || !root) {
    rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to list folders");
  } else {
    lsi_error_clear(&c->me.list.error);
    c->me.walk = &all;
    c->me.list.watch = watch;
    c->me.list.finds_folders = watch && watch->finds_folders;
    c->me.list.in = root;
    rc = run(c, pattern, broken, err);
  }
  if (c) {
    lsi_lister_free(&c->me.list);
    lsi_free(c);
  }
  lsi_os_cond_destroy(all.cond);
  lsi_os_mutex_destroy(all.mutex);
  if (rc < 0) {
    lsi_folder_free(root);
    root = NULL;
  }
  *out = root;
  return rc < 0 ? rc : 0;
}
