/* Small jobs of every way that bytes take through LSIO besides the plain one: mapped, by pieces, into
 * memory, of files whose sizes are learnt late. Each is checked completely. Needs cmocka. */
#ifndef LSI_TEST_PATH_JOBS_H
#define LSI_TEST_PATH_JOBS_H

#include <stdbool.h>

#include "lsio.h"

enum path_into {
  PATH_STATE,  /* its `done` asserts what it sums up to */
  PATH_FILE,   /* "out" */
  PATH_STREAM,
  PATH_MEMORY, /* an array of LSIO's, which is taken and outlives the job */
  PATH_ARRAY   /* one of the caller's */
};

struct path_kind {
  const char *name;
  enum path_into into;
  bool mapped;        /* by the backend of that name */
  bool sigbus;        /* in a context that may map files */
  bool skips;         /* steps that failed hold -1, or are not there */
  bool many;          /* files of the folder `many`, over a thousand: slow */
  bool large;         /* a file of 40 MiB: slow */
  float factor;       /* of results */
  const char *source, *keys; /* Lua */
  const char *settings[2];
};

extern const struct path_kind path_kinds[];
extern const int path_n_kinds;

struct path_end {
  int releases; /* how often the caller's array was given back; what it held then is what is checked */
  int rc, exit_code, os_code; /* rc: of lsio_submit, else of the job; the rest of its error, or of the first
                                 step's that was skipped */
  char object[400], message[1700];
};

/* The current directory becomes a new one with all files. Before the first run. */
int path_setup(void);
int path_teardown(void);

/* A whole job, with the backend of this name. What it delivers is right, or the test fails with `where`:
 * also the results of a stream that fails later. After an error no file is left. */
struct path_end path_run(lsio_context *context, const struct path_kind *k, const char *backend,
                         const char *where);
/* Nobody has written to the caller's array since the last job was destroyed. */
void path_array_is_quiet(const char *where);

#endif
