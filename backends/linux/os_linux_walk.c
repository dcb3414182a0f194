/* Names that start with a point match only a pattern that does, and "**" follows no symbolic link to a
 * folder, so that it always ends. */
#include "linux/os_linux_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ground/mem.h"
#include "ground/names.h"
#include "linux/os_linux.h"

#define THREADS_MOST 16u
#define THREADS_FROM 4u       /* folders that wait: fewer are not worth threads */
#define LOOK_NS 50000000      /* between looks at the watch while the others list */
#define LOOK_EVERY 4096u      /* names of one folder between looks */

enum kind { KIND_REGULAR = 1, KIND_OTHER, KIND_FOLDER };

struct lsi_folder {
  struct lsi_folder *next;     /* that waits to be listed */
  const char *pattern;         /* what its entries are held against; it outlives the walk */
  char *text;                  /* kind and name\0 of each entry that matched, in order */
  size_t text_length;
  struct lsi_folder **folders; /* of the entries of KIND_FOLDER, in order */
  size_t n_folders;
  size_t length;               /* of path */
  char path[];                 /* with a slash at its end, or empty */
};

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

/* One thread's hands. */
struct walker {
  struct walk *walk;
  struct lsi_watch *watch;     /* NULL: another thread looks */
  struct lsi_error error;
  struct lsi_folder *in;       /* being listed */
  struct lsi_names names;      /* of entries that matched, marked with their kinds */
  struct lsi_folder **folders; /* for each name the folder, or NULL */
  uint64_t folders_cap;
  char path[LSI_PATH_LONGEST];
};

static int no_memory(struct walker *w) {
  return lsi_fail(&w->error, LSIO_ERR_NOMEM, 0, "no memory for a list of names");
}

static int too_long(struct walker *w) {
  return lsi_fail(&w->error, LSIO_ERR_SOURCE, ENAMETOOLONG, "a name is too long");
}

bool lsi_walk_magic(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (s[i] == '*' || s[i] == '?' || s[i] == '[') return true;
  return false;
}

/* ---- entries that matched ---- */

/* Notes w->path, up to `at`, by what it has beyond the folder's own path. */
static int add(struct walker *w, size_t at, enum kind kind, struct lsi_folder *folder) {
  const uint64_t n = w->names.n;
  if (n == w->folders_cap) {
    const uint64_t cap = n ? n * 2 : 256;
    struct lsi_folder **more = lsi_reallocarray(w->folders, cap, sizeof(struct lsi_folder *));
    if (!more) return no_memory(w);
    w->folders = more;
    w->folders_cap = cap;
  }
  const size_t skip = w->in->length;
  if (!lsi_names_add(&w->names, (char)kind, w->path + skip, at - skip)) return no_memory(w);
  w->folders[n] = folder;
  return 0;
}

/* Hands the entries over to the folder that they are of, sorted. */
static int keep_entries(struct walker *w) {
  struct lsi_folder *f = w->in;
  const struct lsi_names *names = &w->names;
  size_t folders = 0;
  for (uint64_t i = 0; i < names->n; i++) folders += w->folders[i] != NULL;
  uint64_t *order = lsi_reallocarray(NULL, names->n + 1, 2 * sizeof *order);
  f->text = lsi_malloc(names->length + 1);
  if (folders) f->folders = lsi_calloc(folders, sizeof(struct lsi_folder *));
  if (!order || !f->text || (folders && !f->folders)) {
    lsi_free(order);
    return no_memory(w);
  }
  lsi_names_order(names, order);
  char *to = f->text;
  for (uint64_t i = 0; i < names->n; i++) {
    const uint64_t k = order[i];
    *to++ = lsi_names_mark(names, k);
    if (w->folders[k]) {
      f->folders[f->n_folders++] = w->folders[k];
      w->folders[k] = NULL;
    } else {
      to = stpcpy(to, lsi_names_get(names, k)) + 1;
    }
  }
  f->text_length = (size_t)(to - f->text);
  lsi_free(order);
  return 0;
}

static void drop_entries(struct walker *w) {
  for (uint64_t i = 0; i < w->names.n; i++) lsi_walk_free(w->folders[i]);
  w->names.n = w->names.length = 0;
}

static void free_entries(struct walker *w) {
  lsi_names_free(&w->names);
  lsi_free(w->folders);
}

/* ---- walking ---- */

/* Appends a name to w->path at `at`; the new length, or 0 when it does not fit. */
static size_t append(struct walker *w, size_t at, const char *name, size_t n, bool unescape) {
  bool slash = at && w->path[at - 1] != '/';
  if (at + slash + n + 1 >= LSI_PATH_LONGEST) return 0;
  if (slash) w->path[at++] = '/';
  for (size_t i = 0; i < n; i++) {
    if (unescape && name[i] == '\\' && i + 1 < n) i++;
    w->path[at++] = name[i];
  }
  w->path[at] = 0;
  return at;
}

/* Keeps w->path if it names a file. */
static int keep(struct walker *w, size_t at) {
  struct stat st;
  if (stat(w->path, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) return 0;
  return add(w, at, KIND_OTHER, NULL);
}

/* Notes that the folder w->path is to be listed for a pattern. */
static int list_later(struct walker *w, size_t at, const char *pattern) {
  bool slash = at && w->path[at - 1] != '/';
  struct lsi_folder *f = lsi_calloc(1, sizeof *f + at + 2);
  if (!f) return no_memory(w);
  memcpy(f->path, w->path, at);
  if (slash) f->path[at] = '/';
  f->length = at + slash;
  f->pattern = pattern;
  /* Sorted by its name with the slash, folders stand where their files stand among whole paths. */
  w->path[at] = '/';
  int rc = add(w, f->length, KIND_FOLDER, f);
  w->path[at] = 0;
  if (rc < 0) lsi_free(f);
  return rc;
}

/* True when behind "**" there is one component, which names files: both are looked for at once. */
static bool one_more(const char *rest) {
  while (rest && *rest == '/') rest++;
  return rest && *rest && !strchr(rest, '/') && strcmp(rest, "**") != 0;
}

bool lsi_walk_sorted(const char *pattern) {
  for (const char *p = pattern; (p = strstr(p, "**")); p += 2) {
    bool whole = (p == pattern || p[-1] == '/') && (p[2] == '/' || !p[2]);
    if (whole && p[2] && !one_more(p + 2)) return false;
  }
  return true;
}

/* Goes from w->path along a pattern up to what must be listed. */
static int resolve(struct walker *w, size_t at, const char *pattern) {
  for (;;) {
    while (*pattern == '/') pattern++;
    if (!*pattern) return 0; /* a trailing slash asks for a folder */
    size_t n = strcspn(pattern, "/");
    const char *rest = pattern[n] ? pattern + n : NULL;
    if (lsi_walk_magic(pattern, n)) {
      int rc = list_later(w, at, pattern);
      bool any_depth = n == 2 && memcmp(pattern, "**", 2) == 0;
      if (rc < 0 || !any_depth || !rest || one_more(rest)) return rc;
      /* No folder at all is a depth too. */
    } else {
      at = append(w, at, pattern, n, true);
      if (!at) return too_long(w);
      if (!rest) return keep(w, at);
    }
    pattern = rest;
  }
}

/* ---- one folder ---- */

struct part {
  const char *rest;   /* of the pattern behind this component, NULL at the last */
  const char *again;  /* "**": the pattern from here on, else NULL. Then `text` is the component
                         behind it when that names files, else a star. */
  size_t before;      /* SIZE_MAX, or the component is one star behind so many bytes */
  size_t length;
  char text[256];
};

static int read_part(struct walker *w, struct part *p) {
  const char *pattern = w->in->pattern;
  size_t n = strcspn(pattern, "/");
  p->rest = pattern[n] ? pattern + n : NULL;
  p->again = n == 2 && memcmp(pattern, "**", 2) == 0 ? pattern : NULL;
  if (p->again) {
    bool both = one_more(p->rest);
    pattern = both ? p->rest + strspn(p->rest, "/") : "*";
    n = strlen(pattern);
    if (both) p->rest = NULL;
  }
  if (n >= sizeof p->text) return too_long(w);
  memcpy(p->text, pattern, n);
  p->text[n] = 0;
  p->length = n;
  const char *star = strchr(p->text, '*');
  bool simple = star && !strchr(star + 1, '*') && !strpbrk(p->text, "?[\\");
  p->before = simple ? (size_t)(star - p->text) : SIZE_MAX;
  return 0;
}

/* As fnmatch, which takes longer than all else that happens to a name. */
static bool matches(const struct part *p, const char *name, size_t n) {
  if (p->before == SIZE_MAX) return fnmatch(p->text, name, FNM_PERIOD) == 0;
  size_t behind = p->length - p->before - 1;
  if (n < p->before + behind || (name[0] == '.' && p->before == 0)) return false;
  return memcmp(name, p->text, p->before) == 0 &&
         memcmp(name + n - behind, p->text + p->before + 1, behind) == 0;
}

/* True for a folder that is not reached through a symbolic link. */
static bool real_folder(const struct walker *w, const struct dirent *e) {
  if (e->d_type == DT_DIR) return true;
  struct stat st;
  return e->d_type == DT_UNKNOWN && lstat(w->path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int list_entry(struct walker *w, const struct part *p, const struct dirent *e) {
  size_t n = strlen(e->d_name), at = w->in->length;
  bool below = p->again && e->d_name[0] != '.' && e->d_type != DT_REG;
  bool match = matches(p, e->d_name, n);
  if (!below && !match) return 0;
  /* What the directory says already needs no stat. */
  if (p->rest && e->d_type == DT_REG) return 0;
  if (!p->rest && !below && e->d_type == DT_DIR) return 0;
  size_t end = append(w, at, e->d_name, n, false);
  if (!end) return too_long(w);
  int rc = 0;
  if (p->rest && !p->again) rc = resolve(w, end, p->rest);
  else if (below && real_folder(w, e)) rc = resolve(w, end, p->again);
  else if (match && !p->rest) rc = e->d_type == DT_REG ? add(w, end, KIND_REGULAR, NULL) : keep(w, end);
  w->path[at] = 0;
  return rc;
}

static int folder_error(struct walker *w, int code) {
  /* A folder that has gone, or a file where a folder was looked for, is no match; one that can't be
   * read would silently lose files. */
  if (code == ENOENT || code == ENOTDIR) return 0;
  lsi_fail(&w->error, LSIO_ERR_SOURCE, code, "a folder can't be listed");
  const struct lsi_folder *f = w->in;
  char name[LSI_PATH_LONGEST];
  size_t n = f->length > 1 ? f->length - 1 : f->length; /* without the last slash */
  memcpy(name, f->path, n);
  name[n] = 0;
  lsi_error_at(&w->error, n ? name : ".", LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return LSIO_ERR_SOURCE;
}

/* True when the walk is to end. Only the thread that called looks at the watch. */
static bool look(struct walker *w, uint64_t listed) {
  return w->watch && lsi_os_watch(w->watch, listed, 0, &w->error) < 0;
}

static int list_folder(struct walker *w, uint64_t listed) {
  struct part p;
  struct lsi_folder *f = w->in;
  memcpy(w->path, f->path, f->length + 1);
  int rc = read_part(w, &p);
  if (rc < 0) return rc;
  DIR *dir = opendir(f->length ? f->path : ".");
  if (!dir) return folder_error(w, errno);
  for (uint64_t n = 1; rc == 0; n++) {
    errno = 0;
    struct dirent *e = readdir(dir);
    if (!e) {
      if (errno) rc = folder_error(w, errno);
      break;
    }
    if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) rc = list_entry(w, &p, e);
    if (n % LOOK_EVERY == 0 && look(w, listed + n)) rc = w->error.code;
  }
  closedir(dir);
  return rc < 0 ? rc : keep_entries(w);
}

/* ---- threads ---- */

static void failed(struct walker *w) {
  if (!w->walk->stop) w->walk->error = w->error;
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
      lsi_os_wait(all->cond, all->mutex, w->watch ? LOOK_NS : -1);
      if (look(w, all->listed)) failed(w);
      continue;
    }
    all->waiting = f->next;
    all->n_waiting--;
    all->busy++;
    const uint64_t listed = all->listed;
    lsi_os_unlock(all->mutex);
    w->in = f;
    int rc = list_folder(w, listed);
    const uint64_t n = w->names.n;
    drop_entries(w);
    lsi_os_lock(all->mutex);
    all->busy--;
    all->listed += n;
    if (rc < 0) failed(w);
    for (size_t i = f->n_folders; i > 0; i--) { /* the first of them is next */
      f->folders[i - 1]->next = all->waiting;
      all->waiting = f->folders[i - 1];
    }
    all->n_waiting += f->n_folders;
    if (look(w, all->listed)) failed(w);
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
    lsi_error_clear(&w->error);
    c->walkers[c->n] = w;
    if (lsi_os_thread_start(&c->threads[c->n], "lsio-list", help, w)) {
      lsi_free(w);
      return;
    }
    c->n++;
  }
}

static int run(struct crew *c, const char *pattern, struct lsi_error *err) {
  struct walker *me = &c->me;
  size_t at = 0;
  if (*pattern == '/') memcpy(me->path, "/", 2), at = 1;
  int rc = resolve(me, at, pattern);
  if (rc >= 0) rc = keep_entries(me);
  drop_entries(me);
  if (rc < 0) {
    *err = me->error;
    return rc;
  }
  struct walk *all = me->walk;
  lsi_os_lock(all->mutex);
  for (size_t i = me->in->n_folders; i > 0; i--) {
    me->in->folders[i - 1]->next = all->waiting;
    all->waiting = me->in->folders[i - 1];
    all->n_waiting++;
  }
  work(me, begin_threads);
  lsi_os_unlock(all->mutex);
  for (unsigned i = 0; i < c->n; i++) {
    lsi_os_thread_join(c->threads[i]);
    free_entries(c->walkers[i]);
    lsi_free(c->walkers[i]);
  }
  if (all->stop) *err = all->error;
  return all->stop ? all->error.code : 0;
}

int lsi_walk(const char *pattern, struct lsi_watch *watch, struct lsi_folder **out,
             struct lsi_error *err) {
  struct walk all = {.mutex = lsi_os_mutex_create(), .cond = lsi_os_cond_create()};
  struct crew *c = lsi_calloc(1, sizeof *c);
  struct lsi_folder *root = lsi_calloc(1, sizeof *root + 1);
  int rc;
  if (!all.mutex || !all.cond || !c || !root) {
    rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to list folders");
  } else {
    lsi_error_clear(&c->me.error);
    c->me.walk = &all;
    c->me.watch = watch;
    c->me.in = root;
    rc = run(c, pattern, err);
  }
  if (c) {
    free_entries(&c->me);
    lsi_free(c);
  }
  lsi_os_cond_destroy(all.cond);
  lsi_os_mutex_destroy(all.mutex);
  if (rc < 0) {
    lsi_walk_free(root);
    root = NULL;
  }
  *out = root;
  return rc < 0 ? rc : 0;
}

/* ---- what was found ---- */

struct each {
  lsi_each_path *f;
  void *ctx;
  char path[LSI_PATH_LONGEST];
};

static int each(struct each *e, const struct lsi_folder *folder) {
  size_t next = 0;
  if (!folder->text) return 0; /* it had gone */
  memcpy(e->path, folder->path, folder->length);
  for (const char *p = folder->text, *end = p + folder->text_length; p < end;) {
    enum kind kind = (enum kind)*p++;
    int rc;
    if (kind == KIND_FOLDER) {
      rc = each(e, folder->folders[next++]);
      memcpy(e->path, folder->path, folder->length);
    } else {
      const char *name_end = stpcpy(e->path + folder->length, p);
      const size_t n = (size_t)(name_end - e->path);
      p += n - folder->length + 1;
      rc = e->f(e->ctx, e->path, n, kind == KIND_REGULAR);
    }
    if (rc != 0) return rc;
  }
  return 0;
}

int lsi_walk_each(const struct lsi_folder *root, lsi_each_path *f, void *ctx) {
  struct each e = {.f = f, .ctx = ctx};
  return each(&e, root);
}

void lsi_walk_free(struct lsi_folder *f) {
  if (!f) return;
  for (size_t i = 0; i < f->n_folders; i++) lsi_walk_free(f->folders[i]);
  lsi_free(f->folders);
  lsi_free(f->text);
  lsi_free(f);
}
