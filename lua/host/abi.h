/* What C and the Lua modules of LSIO share. Plain declarations only: the build strips the lines that
 * start with '#' and feeds the rest, after core/seams/step.h and core/kernels/kernels.h, to LuaJIT's
 * ffi.cdef. Lua knows these by name, so both sides change together or fail at once.
 * Numbers that Lua computes with are doubles. Functions that return int give 0 or a negative
 * LSIO_ERR_* with *err filled. Strings are copied unless said otherwise. */
#ifndef LSI_LUA_ABI_H
#define LSI_LUA_ABI_H
#include <stdbool.h>

#include "kernels/kernels.h"
#include "seams/step.h"

struct lsi_error;
struct lsi_lua;
struct lsi_settings;
struct lsi_sha256;
struct lsi_paths; /* a growing list of paths */
struct lsi_lua_arrays;
struct lsi_lua_source;
struct lsi_lua_spec;
struct lsi_value;

/* One per process; Lua gets its address when a state is opened. */
struct lsi_vt {
  const struct lsi_kernels *(*kernels)(void); /* NULL: the processor is too old */
  void (*fail)(struct lsi_error *err, int code, const char *text);
  /* Turns the error into LSIO_ERR_SCRIPT about `line` of `file`; 0: of no line, and it is not named. */
  void (*as_script_error)(struct lsi_error *err, const char *file, double line);
  void (*refused)(struct lsi_lua *lua, const char *name); /* a text of this name did not compile */
  double (*size)(const char *text); /* bytes, -1 = not a size, or more than a double holds */
  int (*codec)(const char *name);   /* enum lsi_codec, -1 = unknown */
  const char *(*codec_name)(int codec); /* from 0 on; NULL: there are no more */
  bool (*codec_is_sized)(int codec);    /* it needs `decoded` */
  bool (*codec_takes_dictionary)(int codec);
  /* Decodes n bytes at src into dst of `cap` bytes: how many there are, or a negative LSIO_ERR_*. */
  double (*decode)(int codec, const void *src, size_t n, void *dst, size_t cap);
  /* See core/codec/hash.h. */
  struct lsi_sha256 *(*sha256_create)(struct lsi_error *err); /* NULL: *err says why */
  void (*sha256_free)(struct lsi_sha256 *h);
  int (*sha256_reset)(struct lsi_sha256 *h, struct lsi_error *err);
  int (*sha256_update)(struct lsi_sha256 *h, const void *src, size_t n, struct lsi_error *err);
  int (*sha256_digest)(struct lsi_sha256 *h, uint8_t *out, struct lsi_error *err); /* 32 bytes */
  double (*utf8_clean)(const char *text, size_t n, char *out); /* see core/ground/utf8.h */
  void (*hex)(const uint8_t *bytes, size_t n, bool backwards, char *text);
  const char *(*error_text)(int code); /* static */
  /* Hands what is allocated to C at once: Lua may find no memory to hold even a pointer. False: no memory. */
  bool (*sink_path)(struct lsi_lua_spec *spec, const char *text, size_t length);
  /* A message of the job that runs, with a newline at its end; enum lsio_log_level. 0 = ok. */
  int (*say)(struct lsi_lua *lua, int level, const char *text, size_t length);
  double (*now)(void); /* seconds, of a clock that only goes forward */
  double (*random)(uint64_t *generator); /* [0, 1); generator: seed, step, how many were taken */
  /* Makes the scratch of the step that runs in this state be there. */
  int (*scratch)(struct lsi_lua *lua, struct lsi_error *err);
  int (*setting)(struct lsi_settings *settings, const char *name, const char *value,
                 struct lsi_error *err);
  bool (*setting_skip)(const struct lsi_settings *settings); /* on_error is "skip" */

  int (*paths_later)(struct lsi_paths *paths, const char *pattern, struct lsi_error *err);
  bool (*source_file)(struct lsi_lua_source *source, const char *text, size_t length); /* as sink_path */
  bool (*source_dictionary)(struct lsi_lua_source *source, const char *text, size_t length);
  /* An array of n zeros that lives as long as the job is open. NULL: no memory. */
  struct lsi_value *(*array)(struct lsi_lua_arrays *arrays, int type, double n);
  void *(*array_data)(struct lsi_value *array);
  /* See lua/host/sources.h. */
  int (*source_arrays)(struct lsi_lua_source *source, double n, bool tags, bool groups,
                       struct lsi_error *err);
};

/* How files are cut into chunks: a negative offset counts from the end, length -1 = to it, chunk 0 = whole.
 * may_be_late: nobody needs to know the sizes of many files before they are read. */
struct lsi_lua_cut {
  double offset, length, chunk;
  bool may_be_late;
};

/* What prepare() says of the source. It is opened when Lua has returned. */
struct lsi_lua_source {
  int32_t kind;            /* enum lsi_lua_source_kind */
  struct lsi_paths *paths; /* an empty list at first. FILES, and the last two for their objects: what is to
                              be listed */
  struct lsi_lua_cut cut;  /* FILES and LIST */
  char *file;              /* LIST: of paths; RANGES: a CSV, or a .npy */
  char *dictionary;        /* where that of the codec is; NULL: none */
  int32_t missing;         /* what becomes of objects that are not there: enum lsi_missing */
  bool may_grow;           /* objects may grow while they are read */
  bool nul;                /* LIST: paths end with a NUL, not with a line */
  bool of_one;             /* ARRAYS: all of the only object */
  double n;                /* ARRAYS, of so many ranges; tag, group: NULL = none */
  uint32_t *object;
  int64_t *offset, *length, *tag, *group;
};

/* What prepare() says of a job; script.c copies it into struct lsi_spec. */
struct lsi_lua_spec {
  double decoded, piece, out_max, fill;
  double setup_s; /* that setup took */
  char *sink_path; /* handed over: lsi_free */
  int64_t shape[32];
  uint32_t ndim;
  int32_t codec;
  uint8_t type, sink_type, sink_kind, durability;
  bool big, identity, has_out_max, has_fill, sink_has_type, replace, as_completed;
};

/* The chunk that a transform sees, and its views. C fills it before each step; Lua has types of the same
 * layout whose fields are constant. */
struct lsi_lua_view {
  const void *ptr;
  double n;  /* elements */
  int32_t m; /* the same, at most 2^31 - 1 */
};
struct lsi_lua_chunk {
  struct lsi_lua_view data, out, scratch;
  struct lsi_chunk chunk;
  double index, pos, worker;
  int32_t piece;
};

struct lsi_lua_value {
  const char *data;
  size_t length;
};

/* Argument of every function of lsio.host; each phase uses its part. */
struct lsi_lua_call {
  uint64_t number; /* by which the log names the job; 0: it is about none */
  double job;    /* number of the job in its host */
  double loaded; /* number of the loaded script that it is a job of; 0: its script is its own */
  uint32_t worker;
  const char *script;
  size_t script_length;
  const char *name;
  const char *const *args;
  size_t n_args;
  struct lsi_settings *settings;
  struct lsi_lua_spec *spec;
  struct lsi_lua_source *source; /* prepare */
  void *slot;          /* out of open: the state struct; it lives as long as the job is open. Out of load with
                          `transformed`: one as it begins, until the next call; NULL: the script has none */
  uint64_t seed;
  struct lsi_lua_chunk *chunk; /* out of open; belongs to the state of Lua, all of whose jobs may share it */
  uint8_t out_type;    /* open: of step->out */
  bool has_out_type;
  bool sourced;        /* load: what the job reads is the program's */
  bool transformed, has_state; /* load: the job's transform is the program's, and brings its own state */
  bool user_code;      /* out of open: the script's top level had run when an error came */
  double state_size;   /* out of load: bytes to restore on skip */
  bool finishes, has_done; /* out of load: is there anything to do at a worker's end, at the job's? */
  struct lsi_lua_arrays *arrays; /* merge: where arrays of the result lie */
  bool wants_text;     /* merge: the result as JSON is wanted, in text */
  bool wants_value;    /* merge: it is wanted as results, for a value */
  bool no_json;        /* merge: text says why the result has no such form */
  double nonfinite;    /* merge: numbers that are null in it */
  const char *text;    /* out, or in for open: bytes that Lua owns until the next call */
  size_t text_length;
  const struct lsi_lua_value *values;  /* merge: of the workers that ran steps, in their order; with
                                          `transformed` the bytes of their state structs */
  size_t n_values;
  double c_types; /* out of close: how many the state has made, at least; 0: as many as before */
};

#endif
