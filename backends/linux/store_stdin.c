/* The store `stdin`: one object, which is read once, in order. */
#include <errno.h>
#include <string.h>

#include "linux/os_linux.h"
#include "linux/stream.h"
#include "list.h"

static int fail(const char *name, int code, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_SOURCE, code, "standard input %s", code == EBADF ? "is closed" : "can't be read");
  lsi_error_at(err, name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  lsi_error_remedy(err, "give it something to read (COMMAND | ..., or < FILE), or name a file");
  return LSIO_ERR_SOURCE;
}

static int stat_many(const void *user, const char *const *names, size_t n, struct lsi_object_info *infos,
                     struct lsi_watch *watch, bool faults, struct lsi_error *err) {
  (void)user, (void)watch;
  for (size_t i = 0; i < n; i++) {
    const int code = lsi_stream_info(&infos[i]);
    if (!code) continue;
    if (!faults) return fail(names[i], code, err);
    infos[i] = (struct lsi_object_info){.version = {(uint64_t)code, LSIO_KIND_NOT_FOUND},
                                        .known = LSI_KNOWN_FAULT};
  }
  return 0;
}

static int fault(const struct lsi_object_info *info, const char *name, struct lsi_error *err) {
  return fail(name, (int)info->version[0], err);
}

/* What it comes from is not known: it is taken for a copy from memory. */
static void model(const void *user, uint32_t device, const char *name, struct lsi_device_model *out) {
  (void)user, (void)device, (void)name;
  lsi_device_preset(LSI_DEVICE_MEMORY, out);
  out->op_max = 0; /* a chunk is one operation */
}

/* Nobody can tell. */
static int changed(const struct lsi_object_info *then, const struct lsi_object_info *now,
                   struct lsi_error *err) {
  (void)then, (void)now, (void)err;
  return 0;
}

static int list(const void *user, const char *pattern, struct lsi_watch *watch, lsi_each_name *add, void *ctx,
                struct lsi_error *err) {
  (void)user, (void)watch, (void)err;
  return add(ctx, pattern, strlen(pattern), false);
}

static int read_all(const void *user, const char *name, const struct lsi_whole *how, char **text,
                    size_t *length, struct lsi_error *err) {
  (void)user, (void)name;
  return lsi_store_file.read_all(NULL, "-", how, text, length, err);
}

static uint64_t unread_from(const void *user, const char *name) {
  (void)user, (void)name;
  return lsi_stream_position();
}

static const struct lsi_backend_ops *const backends[] = {&lsi_backend_stream, NULL};

const struct lsi_store lsi_store_stdin = {
    .version = LSI_STORE_VERSION,
    .name = "stdin",
    .backends = backends,
    .stat_many = stat_many,
    .fault = fault,
    .model = model,
    .changed = changed,
    .list = list,
    .read_all = read_all,
    .unread_from = unread_from,
};
