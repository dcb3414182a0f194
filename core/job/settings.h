/* The settings of a job, from one table (settings.c): runner flags, LSIO_* variables, `options` in
 * scripts and lsio_job_options.settings all come through here. */
#ifndef LSI_SETTINGS_H
#define LSI_SETTINGS_H

#include "ground/err.h"

enum lsi_origin { LSI_FROM_DEFAULT, LSI_FROM_SCRIPT, LSI_FROM_ENV, LSI_FROM_CALLER };
enum lsi_on_error { LSI_ON_ERROR_FAIL, LSI_ON_ERROR_SKIP };
enum lsi_auto { LSI_AUTO, LSI_ALWAYS, LSI_NEVER };

/* What workers find out by trying, each an enum lsi_auto: LSI_AUTO has them try. */
struct lsi_tune {
  uint8_t lend;     /* mapped files are used where they lie, in place of copies */
  uint8_t stores;   /* results in memory are stored past the cache */
  uint8_t straight; /* aligned bytes that are the result are read to their place past the page cache */
};

struct lsi_settings {
  uint32_t workers;      /* 0 = by the machine */
  uint64_t memory;       /* bytes, 0 = default */
  uint32_t queue_depth;  /* per device, 0 = by the device */
  char backend[16];      /* "auto" or a name */
  uint8_t direct;        /* enum lsi_auto */
  uint64_t merge;        /* LSI_MERGE_AUTO, LSI_MERGE_NEVER or bytes */
  uint64_t limit;        /* first N steps, 0 = all */
  uint32_t shard_index;
  uint32_t shard_count;  /* 0 = no shards */
  uint8_t on_error;      /* enum lsi_on_error */
  uint8_t pin;           /* enum lsi_auto */
  uint64_t seed;
  struct lsi_tune tune;
  uint8_t origin[16];    /* by row of the table: enum lsi_origin that set it */
};

void lsi_settings_init(struct lsi_settings *s);
/* Sets one by name ("queue-depth" or "queue_depth") if `origin` is not weaker than what set it before.
 * LSIO_ERR_USAGE names the setting, what is wrong and the valid values (nearest name for a typo). */
int lsi_settings_set(struct lsi_settings *s, const char *name, const char *value,
                     enum lsi_origin origin, struct lsi_error *err);
/* "name=value". */
int lsi_settings_set_pair(struct lsi_settings *s, const char *pair, enum lsi_origin origin,
                          struct lsi_error *err);
/* Every LSIO_* variable of the table that is set and not empty. */
int lsi_settings_from_env(struct lsi_settings *s, struct lsi_error *err);
/* The candidate nearest to `word` by edit distance, or NULL if none is near. */
const char *lsi_nearest(const char *word, const char *const *candidates, size_t n);

#endif
