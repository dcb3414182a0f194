/* The store `http`: objects that servers name by http:// and https:// URLs. They are not listed: a URL is one
 * object, as it stands. */
#include <inttypes.h>
#include <string.h>

#include "ground/mem.h"
#include "http/http_backend.h"
#include "list.h"
#include "seams/os.h"

#define ASK_AT_ONCE 64u /* heads */
#define LOOK_MS 50      /* between looks at the watch */
#define READ_FIRST ((uint64_t)64 << 10)

/* ---- shared ---- */

static int open_pump(uint32_t at_once, const void *user, struct lsi_http_pump **p, struct lsi_error *err) {
  struct lsi_http_pump_config c;
  lsi_http_pump_defaults(&c, at_once, user);
  return lsi_http_pump_create(&c, p, err);
}

/* Until something comes or is due, or it is time to look whether to go on. */
static void wait_for_pump(struct lsi_http_pump *p) {
  lsi_http_pump_wait(p, -1, lsi_http_pump_now_ns(p) + LOOK_MS * UINT64_C(1000000));
}

/* ---- what objects are ---- */

struct asking {
  struct lsi_http_transfer transfer;
  struct lsi_http_object object;
  size_t index;
};

struct look {
  const char *const *names;
  struct lsi_object_info *infos;
  size_t n, next, answered;
  bool faults;
  struct lsi_http_pump *pump;
  struct asking *all;
  size_t failed; /* the first of those that are errors; SIZE_MAX: none */
  struct lsi_error error;
};

static void note(struct look *l, size_t i, const struct lsi_error *why) {
  const int kind = lsi_error_kind(why);
  if (l->faults && why->code == LSIO_ERR_SOURCE && kind != LSIO_KIND_CHANGED) {
    l->infos[i] = (struct lsi_object_info){.version = {(uint64_t)why->os_code, (uint64_t)kind},
                                           .known = LSI_KNOWN_FAULT};
    return;
  }
  if (i >= l->failed) return;
  l->failed = i;
  l->error = *why;
}

static void ask(struct look *l, struct asking *a) {
  struct lsi_error e;
  lsi_error_clear(&e);
  while (l->next < l->n) {
    a->index = l->next++;
    if (lsi_http_object_init(lsi_http_pump_origins(l->pump), &a->object, l->names[a->index], &e) == 0) {
      a->transfer = (struct lsi_http_transfer){.object = &a->object, .head = true, .user = a};
      lsi_http_pump_add(l->pump, &a->transfer);
      return;
    }
    note(l, a->index, &e);
    lsi_error_clear(&e);
    l->answered++;
  }
}

static void answered(struct look *l, struct asking *a) {
  struct lsi_http_transfer *t = &a->transfer;
  struct lsi_error lost;
  if (t->code == 0) {
    l->infos[a->index] = lsi_http_object_info(&a->object);
    if (!(l->infos[a->index].known & LSI_KNOWN_SIZE)) {
      lsi_error_clear(&lost);
      lsi_fail(&lost, LSIO_ERR_SOURCE, 0, "the server does not say how large the object is");
      lsi_error_is(&lost, LSIO_KIND_UNSUPPORTED);
      note(l, a->index, &lost);
    }
  } else {
    lsi_error_clear(&lost);
    lsi_fail(&lost, t->code, 0, "no memory to tell what became of a request");
    note(l, a->index, t->why ? t->why : &lost);
    lsi_free(t->why);
  }
  lsi_http_object_clear(&a->object);
  l->answered++;
  if (l->failed == SIZE_MAX) ask(l, a);
}

static int look_at_all(struct look *l, struct lsi_watch *watch, struct lsi_error *err) {
  int rc = 0;
  while (rc == 0 && lsi_http_pump_count(l->pump)) {
    for (struct lsi_http_transfer *t = lsi_http_pump_run(l->pump, &rc, err), *next; t; t = next) {
      next = t->next;
      answered(l, t->user);
    }
    if (rc == 0 && watch) rc = lsi_watch_tell(watch, l->n, l->answered, err);
    if (rc == 0 && lsi_http_pump_count(l->pump)) wait_for_pump(l->pump);
  }
  lsi_http_pump_cancel(l->pump);
  int ignored;
  for (struct lsi_http_transfer *t = lsi_http_pump_run(l->pump, &ignored, NULL), *next; t; t = next) {
    next = t->next;
    lsi_free(t->why);
    lsi_http_object_clear(t->object);
  }
  return rc;
}

static int http_stat_many(const void *user, const char *const *names, size_t n, struct lsi_object_info *infos,
                          struct lsi_watch *watch, bool faults, struct lsi_error *err) {
  struct look l = {.names = names, .infos = infos, .n = n, .faults = faults, .failed = SIZE_MAX};
  const size_t at_once = LSI_MIN(n, (size_t)ASK_AT_ONCE);
  lsi_error_clear(&l.error);
  if (!n) return 0;
  int rc = open_pump(ASK_AT_ONCE, user, &l.pump, err);
  if (rc < 0) return rc;
  l.all = lsi_calloc(at_once, sizeof *l.all);
  if (!l.all) rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to ask about %zu objects", n);
  for (size_t i = 0; rc == 0 && i < at_once; i++) ask(&l, &l.all[i]);
  if (rc == 0) rc = look_at_all(&l, watch, err);
  lsi_http_pump_destroy(l.pump);
  lsi_free(l.all);
  if (rc < 0 || l.failed == SIZE_MAX) return rc;
  if (err) *err = l.error;
  lsi_error_at(err, names[l.failed], LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return l.error.code;
}

static int http_fault(const struct lsi_object_info *info, const char *name, struct lsi_error *err) {
  const int kind = (int)info->version[1];
  lsi_fail(err, LSIO_ERR_SOURCE, (int)info->version[0],
           kind == LSIO_KIND_NOT_FOUND    ? "the server has no such object"
           : kind == LSIO_KIND_PERMISSION ? "the server does not give the object out"
           : kind == LSIO_KIND_USAGE      ? "the URL is none"
                                          : "the server does not give the object out as ranges of bytes");
  lsi_error_is(err, kind);
  lsi_error_at(err, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  lsi_error_remedy(err, "check the URL");
  return LSIO_ERR_SOURCE;
}

static void http_model(const void *user, uint32_t device, const char *name, struct lsi_device_model *out) {
  (void)user, (void)device, (void)name;
  lsi_device_preset(LSI_DEVICE_HTTP, out);
}

/* A URL is a name as it stands: nobody lists what there is. */
static int http_list(const void *user, const char *pattern, struct lsi_watch *watch, lsi_each_name *add,
                     void *ctx, struct lsi_error *err) {
  (void)user, (void)watch, (void)err;
  return add(ctx, pattern, strlen(pattern), false);
}

static bool http_unseen(const void *user, const char *name, struct lsi_object_info *info) {
  (void)user;
  struct lsi_url u;
  if (lsi_url_parse(name, &u, NULL) < 0) return false;
  *info = (struct lsi_object_info){.size = LSI_ENDLESS, .device = lsi_http_device(&u)};
  lsi_url_clear(&u);
  return true;
}

/* ---- whole objects ---- */

struct whole {
  char *text;
  uint64_t room, limit;
  bool over;
};

static bool grow(struct lsi_http_transfer *t, uint64_t bytes) {
  struct whole *w = t->user;
  w->over = bytes > w->limit;
  if (w->over) return false;
  const uint64_t room = LSI_MIN(LSI_MAX(bytes, w->room * 2), w->limit);
  char *text = lsi_realloc(w->text, (size_t)room + 1);
  if (!text) return false;
  w->text = t->to = text;
  w->room = t->room = room;
  return true;
}

static int take_whole(struct lsi_http_pump *p, struct lsi_http_transfer *t, const struct lsi_whole *how,
                      struct lsi_error *err) {
  int rc = 0;
  lsi_http_pump_add(p, t);
  for (bool ended = false; rc == 0 && !ended;) {
    ended = lsi_http_pump_run(p, &rc, err) != NULL;
    if (rc == 0 && how->watch) rc = lsi_watch_tell(how->watch, 0, 0, err);
    if (rc == 0 && !ended) wait_for_pump(p);
  }
  if (rc < 0) return rc;
  if (t->code == 0) return how->look ? how->look(how->user, t->to, (size_t)t->got, err) : 0;
  const struct whole *w = t->user;
  if (w->over)
    return lsi_fail(err, LSIO_ERR_LIMIT, 0,
                    "an object has more than the %" PRIu64 " bytes that are read of it", w->limit);
  if (t->why && err) *err = *t->why;
  return t->why ? t->code : lsi_fail(err, t->code, 0, "an object could not be read");
}

static int http_read_all(const void *user, const char *name, const struct lsi_whole *how, char **text,
                         size_t *length, struct lsi_error *err) {
  struct lsi_http_pump *p;
  struct lsi_http_object o;
  struct whole w = {.room = LSI_MIN(READ_FIRST, how->limit), .limit = how->limit};
  int rc = open_pump(1, user, &p, err);
  if (rc < 0) return rc;
  rc = lsi_http_object_init(lsi_http_pump_origins(p), &o, name, err);
  const bool named = rc == 0;
  w.text = named ? lsi_malloc((size_t)w.room + 1) : NULL;
  if (named && !w.text) rc = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to read an object whole");
  struct lsi_http_transfer t = {
      .object = &o, .length = LSI_HTTP_REST, .to = w.text, .room = w.room, .grow = grow, .user = &w};
  if (rc == 0) rc = take_whole(p, &t, how, err);
  lsi_http_pump_destroy(p); /* requests under way have the object's URL until then */
  if (named) lsi_http_object_clear(&o);
  if (rc < 0) {
    lsi_error_at(err, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
    lsi_free(t.why);
    lsi_free(w.text);
    return rc;
  }
  w.text[t.got] = 0;
  *text = w.text;
  *length = (size_t)t.got;
  return 0;
}

static const char *const schemes[] = {"http", "https", NULL};
static const struct lsi_backend_ops *const backends[] = {&lsi_backend_http, NULL};

const struct lsi_store lsi_store_http = {
    .version = LSI_STORE_VERSION,
    .name = "http",
    .schemes = schemes,
    .backends = backends,
    .stat_many = http_stat_many,
    .fault = http_fault,
    .model = http_model,
    .changed = lsi_object_changed,
    .list = http_list,
    .read_all = http_read_all,
    .unseen = http_unseen,
};
