/* Objects of one origin: what there is, what it is, and how its bytes arrive. One const table per store, one
 * file per store under backends/, one line in backends/linux/list.c. `user` is what a store finds its objects
 * by: NULL for files, a test's objects for those of backends/test. All hooks: any thread, and as long as the
 * origin takes. */
#ifndef LSI_STORE_H
#define LSI_STORE_H

#include "seams/backend.h"
#include "seams/model.h"
#include "seams/watch.h"

#define LSI_STORE_VERSION 1u

/* Something but 0 ends the list. `regular`: it is known to be an object whose data can be read, on the
 * device of those before it in the same folder that are: it need not be looked at before it is opened. */
typedef int lsi_each_name(void *ctx, const char *name, size_t length, bool regular);

#define LSI_WHOLE_STRETCH (1u << 20)

/* How an object is read whole: it may be a pipe into which somebody writes for hours, or have no end. */
struct lsi_whole {
  uint64_t limit;          /* bytes; more are LSIO_ERR_LIMIT */
  struct lsi_watch *watch; /* may end it, also while nothing comes; may be NULL */
  /* May be NULL. Sees all that is there after each LSI_WHOLE_STRETCH bytes at most; negative, with *err
   * filled, ends it. */
  int (*look)(void *user, const char *text, size_t n, struct lsi_error *err);
  void *user;
};

struct lsi_store {
  uint32_t version;           /* LSI_STORE_VERSION, checked at start */
  const char *name;
  const char *const *schemes; /* NULL-terminated, of SCHEME://NAME, in lower case; NULL: none */
  /* Required. How bytes of its objects arrive: NULL-terminated, in the order in which `--backend auto` tries
   * them. */
  const struct lsi_backend_ops *const *backends;
  /* Required. What n objects are, several looked at at once; infos[i] filled. One that is missing or can't be
   * read as data is a fault (LSI_KNOWN_FAULT) or, without `faults`, LSIO_ERR_SOURCE, which names the first.
   * LSIO_ERR_CANCELLED: `watch`, which may be NULL, said stop. */
  int (*stat_many)(const void *user, const char *const *names, size_t n, struct lsi_object_info *infos,
                   struct lsi_watch *watch, bool faults, struct lsi_error *err);
  /* Required with stat_many's faults. What stat_many would have failed with. */
  int (*fault)(const struct lsi_object_info *info, const char *name, struct lsi_error *err);
  /* Required. The numbers of the device on which an object lies. Never fails: falls back to a preset. */
  void (*model)(const void *user, uint32_t device, const char *name, struct lsi_device_model *out);
  /* Required. lsi_object_changed, or what says the same in the words of the origin. */
  int (*changed)(const struct lsi_object_info *then, const struct lsi_object_info *now,
                 struct lsi_error *err);
  /* Required. Expands a pattern (*, ?, [..], ** for any depth, {a,b}) in bytewise order; a name that is
   * none is passed on unseen. Calls add for each, on this thread, and returns what that returns if it is
   * not 0. `watch` is told what was left out. A pattern without matches is LSIO_ERR_SOURCE, one where
   * nothing can be listed LSIO_ERR_UNSUPPORTED; errors name the pattern. */
  int (*list)(const void *user, const char *pattern, struct lsi_watch *watch, lsi_each_name *add, void *ctx,
              struct lsi_error *err);
  /* Required. A whole object in memory (lsi_free), and a NUL behind it that does not count. */
  int (*read_all)(const void *user, const char *name, const struct lsi_whole *how, char **text,
                  size_t *length, struct lsi_error *err);
  /* Optional: where it costs no round trip. Up to n bytes from an offset, how many; 0 also where they
   * can't be had: who needs them will say why. */
  size_t (*read_part)(const void *user, const char *name, uint64_t offset, void *buf, size_t n);
  /* Optional, for stores of which each question is a round trip. What is known of an object that nobody has
   * asked about: its device, and LSI_ENDLESS as its size. What else there is to know its first read tells.
   * False: it has to be looked at, which will say why. */
  bool (*unseen)(const void *user, const char *name, struct lsi_object_info *info);
  /* Optional. Ranges of an object, as those of a request, one behind the other into `out`, if nothing has to
   * be waited for, and they are as they were at one moment. Bytes; negative: not so, or not in `room`, or
   * they can't be had: who needs them reads them otherwise. */
  int64_t (*read_now)(const void *user, const char *name, const int64_t *offset, const int64_t *length,
                      size_t n, void *out, size_t room);
  /* Required where its backends have LSI_CAP_IN_ORDER: the offset from which on the object has not been read
   * yet. */
  uint64_t (*unread_from)(const void *user, const char *name);
  /* Optional: without it a URL is a name as it stands. Makes of one of the store's schemes the name under
   * which its object is known from there on (lsi_free); with `pattern`, of a pattern of URLs one of
   * names. LSIO_ERR_SOURCE: it is none. */
  int (*from_url)(const char *url, bool pattern, char **name, struct lsi_error *err);
};

/* NULL-terminated; the first one has the names without a scheme, and those whose scheme no store has. */
extern const struct lsi_store *const lsi_stores[];
/* unseen of what has these names; false: not all have it, and they are to be looked at. */
bool lsi_store_unseen(const char *const *names, size_t n, struct lsi_object_info *infos);
/* Index among them of the one that has a name, or the names of a pattern. */
uint16_t lsi_store_find(const char *name);
/* *name (lsi_free) is what a store makes of what somebody has named, as from_url; NULL: it is a name. */
int lsi_store_name(const char *given, bool pattern, char **name, struct lsi_error *err);
/* Index of the store of that name; -1: there is none on this system. */
int lsi_store_named(const char *name);
/* stat_many of what has these names, each stretch that is of one store at once; infos[i] filled. Faults that
 * `keep` (enum lsi_keep) does not have are errors. */
int lsi_store_look(const char *const *names, size_t n, struct lsi_object_info *infos, struct lsi_watch *watch,
                   unsigned keep, struct lsi_error *err);

#endif
