/* The seam between the engine and whoever computes on steps (Lua, C, later vector programs), and
 * between a job and the language its script is written in. core declares it; lua/ implements it. */
#ifndef LSI_XFORM_H
#define LSI_XFORM_H

#include "ground/err.h"
#include "seams/step.h"

struct lsi_log;
struct lsi_settings;
struct lsi_spec;
struct lsi_summary;

/* Transforms: one state per worker, used on that worker's thread only. */
struct lsi_transform_ops {
  const char *name;
  bool takes_scratch; /* steps that need scratch ask for it (step->take_scratch); else it is always there */
  /* Makes worker `worker` of the job ready, all of whose calls come from thread `thread` of the context.
   * *step keeps its address until close. */
  int (*open_worker)(void *job, unsigned worker, unsigned thread, struct lsi_step *step,
                     void **state, struct lsi_error *err);
  /* One step, or a piece of one (step->piece). A failure leaves no trace in the state when the job's
   * on_error is skip, of a piece as little as of those before it. The error's object, offset and step
   * are added by the engine. */
  int (*step)(void *state, struct lsi_step *step, struct lsi_error *err);
  /* Optional. The step that has just run well, or the pieces of it that have, counts as failed, for what
   * it returned can't be delivered or its next piece can't be decoded: leaves no trace of it either. */
  void (*undo)(void *state);
  /* After the last step of a worker that ran at least one; keeps what is to be merged. */
  int (*finish)(void *state, struct lsi_error *err);
  void (*close)(void *state);
  /* Optional. Any thread, until the job is gone: a deadline has passed. Steps that run now, or are run
   * later, fail soon (LSIO_ERR_LIMIT), where that can be had of what they are doing. */
  void (*interrupt)(void *job);
};

/* The reduced state as a JSON value. */
struct lsi_state_json {
  bool unwanted;          /* in: nobody asks for the text */
  char *text;             /* lsi_free; NULL: it has no such form, `error` says why; or it is unwanted */
  char *reduce;           /* lsi_free; what merged it, as JSON (core/lsio/job.h); NULL: nothing */
  uint64_t nonfinite;     /* NaN and infinities, which are null in it */
  struct lsi_error error; /* code 0: none */
};

/* The same as a value. */
struct lsi_state_value {
  lsio_value *value;      /* held; NULL: it has no such form, `error` says why */
  struct lsi_error error; /* code 0: none */
};

struct lsi_script_host; /* per context */
struct lsi_loaded;      /* a script that stays loaded; counts who uses it */
struct lsi_script;      /* per job */

struct lsi_script_source {
  const char *text; /* borrowed until unload */
  size_t length;
  const char *name;
  const char *const *args; /* borrowed until load returns */
  size_t n_args;
  const lsio_value *params; /* a map, borrowed until unload; NULL: none */
  struct lsi_loaded *loaded; /* not NULL: the job's script is this one, and text and name are ignored */
  uint64_t job;              /* by which the log names the job; 0: it is none */
  bool transformed;          /* the job's transform is not to be the script's, which must have none */
  bool has_state;            /* and brings its own state */
  bool sourced;              /* what the job reads is not to be the script's, which must have no source */
};

/* The language host. Many jobs may be open at once, and all of this may be called by any thread, for one job
 * by one at a time; of one host one of these calls runs at a time, and transforms run beside them. */

struct lsi_script_ops {
  const char *name;
  /* `log`, which takes what scripts say, is borrowed until destroy. */
  int (*create)(const struct lsi_log *log, struct lsi_script_host **out, struct lsi_error *err);
  void (*destroy)(struct lsi_script_host *host);
  /* A script that stays: it is compiled and its top level runs once here, for its first job or `open`, and
   * once in each worker that gets a job of it; what that leaves lives until the script and all jobs of it
   * are released. The source is copied; args are ignored. */
  int (*keep)(struct lsi_script_host *host, const struct lsi_script_source *src,
              struct lsi_loaded **out, struct lsi_error *err);
  int (*open)(struct lsi_loaded *loaded, struct lsi_error *err); /* has it run here, if no job has */
  /* A parent of this process has loaded it (fork); then nothing else is to be called of it. */
  bool (*is_parents)(const struct lsi_loaded *loaded);
  void (*hold)(struct lsi_loaded *loaded);    /* once more */
  void (*release)(struct lsi_loaded *loaded); /* once less; jobs of it may still be open */
  /* Opens a job. Compiles and validates; parses args into params; sets the script's `options` in
   * settings (at the lowest priority). No I/O on sources. */
  int (*load)(struct lsi_script_host *host, const struct lsi_script_source *src,
              struct lsi_settings *settings, struct lsi_script **out, struct lsi_error *err);
  /* Text about the script's params for --help. Handed over (lsi_free). */
  int (*help)(struct lsi_script *script, char **text, struct lsi_error *err);
  /* setup(), source(): fills *spec. spec->transform_job is what open_worker gets. */
  int (*prepare)(struct lsi_script *script, struct lsi_spec *spec, struct lsi_error *err);
  /* Of a job whose transform is not the script's: what the script's `state` begins as in each worker, and its
   * bytes; NULL: it has none. Borrowed until unload. */
  const void *(*state)(const struct lsi_script *script, size_t *bytes);
  /* What these states have become in the workers that ran steps, in their order: borrowed by merge, the next
   * call. */
  void (*ended)(struct lsi_script *script, const void *const *states, size_t n);
  /* After the last worker has closed: merges in worker order. *json and *value, zeroed, receive the reduced
   * fields; value NULL: not wanted. That they have no such form is no failure: `done` gets them as they
   * are. */
  int (*merge)(struct lsi_script *script, struct lsi_state_json *json, struct lsi_state_value *value,
               struct lsi_error *err);
  /* After merge, and once the output has its name: calls done(result, info). */
  int (*done)(struct lsi_script *script, const struct lsi_summary *summary, struct lsi_error *err);
  void (*unload)(struct lsi_script *script);
  /* A paragraph for --doctor (which LuaJIT, JIT alive, known defects). Handed over (lsi_free). */
  char *(*doctor)(void);
};

extern const struct lsi_script_ops *const lsi_script_host_ops;

#endif
