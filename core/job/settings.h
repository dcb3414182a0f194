/* The settings of a context and of its jobs, from one table (settings.c): runner flags, LSIO_* variables,
 * `options` in scripts and the settings in the options of contexts and jobs all come through here. */
#ifndef LSI_SETTINGS_H
#define LSI_SETTINGS_H

#include "ground/err.h"

enum lsi_origin { LSI_FROM_DEFAULT, LSI_FROM_SCRIPT, LSI_FROM_ENV, LSI_FROM_CALLER };
/* Whose they are: a context takes its own only, a job takes all. */
enum lsi_scope { LSI_SCOPE_JOB, LSI_SCOPE_CONTEXT };
enum lsi_priority { LSI_NORMAL, LSI_BACKGROUND };
enum lsi_on_error { LSI_ON_ERROR_FAIL, LSI_ON_ERROR_SKIP };
enum lsi_auto { LSI_AUTO, LSI_ALWAYS, LSI_NEVER };

/* What workers find out by trying, each an enum lsi_auto: LSI_AUTO has them try. */
struct lsi_tune {
  uint8_t lend;     /* mapped files are used where they lie, in place of copies */
  uint8_t stores;   /* results in memory are stored past the cache */
  uint8_t straight; /* aligned bytes that are the result are read to their place past the page cache */
};

/* What says "context" is a context's as well. */
struct lsi_settings {
  uint32_t workers;      /* context; 0 = by the machine */
  uint64_t memory;       /* context; bytes, 0 = default */
  uint32_t queue_depth;  /* per device, 0 = by the device */
  char backend[16];      /* context; "auto" or a name */
  uint8_t direct;        /* enum lsi_auto */
  uint64_t merge;        /* LSI_MERGE_AUTO, LSI_MERGE_NEVER or bytes */
  uint64_t limit;        /* first N steps, 0 = all */
  uint32_t shard_index;
  uint32_t shard_count;  /* 0 = no shards */
  uint64_t step;         /* this one alone, by its index in the whole request; LSI_NO_STEP = all */
  bool replace;          /* whatever a sink's `exists` says */
  uint8_t on_error;      /* enum lsi_on_error */
  uint8_t pin;           /* context; enum lsi_auto */
  uint8_t priority;      /* enum lsi_priority */
  uint8_t scope;         /* enum lsi_scope */
  uint64_t seed;
  uint64_t deadline_ns;  /* from the job's submission; 0 = none */
  struct lsi_tune tune;
  uint8_t origin[24];    /* by row of the table: enum lsi_origin that set it */
};

void lsi_settings_init(struct lsi_settings *s); /* of a job */
/* Sets one by name ("queue-depth" or "queue_depth") if `origin` is not weaker than what set it before.
 * LSIO_ERR_USAGE names the setting, what is wrong and the valid values (nearest name for a typo). */
int lsi_settings_set(struct lsi_settings *s, const char *name, const char *value,
                     enum lsi_origin origin, struct lsi_error *err);
/* "name=value". */
int lsi_settings_set_pair(struct lsi_settings *s, const char *pair, enum lsi_origin origin,
                          struct lsi_error *err);
/* Every LSIO_* variable of the table that is set and not empty, of the settings that `s` takes. */
int lsi_settings_from_env(struct lsi_settings *s, struct lsi_error *err);

/* What the context has not been given becomes what the job has. */
void lsi_settings_adopt(struct lsi_settings *context, const struct lsi_settings *job);
/* Leaves of the job's settings what its context allows: at most its workers and its memory, both of which are
 * known; its backend and pin where these were given. Returns what the job was given beyond that: */
enum { LSI_BEYOND_WORKERS = 1, LSI_BEYOND_MEMORY = 2, LSI_BEYOND_BACKEND = 4, LSI_BEYOND_PIN = 8 };
unsigned lsi_settings_within(struct lsi_settings *job, const struct lsi_settings *context);

#endif
