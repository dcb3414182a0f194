/* Inside lua/: states, scripts that stay loaded, and jobs that live in them. */
#ifndef LSI_LUA_HOST_H
#define LSI_LUA_HOST_H

#include <lauxlib.h>
#include <lua.h>
#include <stdatomic.h>

#include "host/abi.h"
#include "job/spec.h"

#define LSI_LUA_WORKERS_MAX 1024

struct lsi_loaded_here;

/* A place in a script. */
struct lsi_lua_place {
  char file[256];
  size_t length; /* of the file's name; 0: no place */
  int line;
};

/* One Lua state. Used by one thread at a time; `users` and `dead` from any. `failed` is how Lua code
 * reports an error that already lies in `err`: it raises the address of `err` as a light userdata. */
struct lsi_lua {
  lua_State *L;
  int kept[3];      /* registry references of the functions below */
  struct lsi_error err;
  const char *jit;  /* "alive", "dead", "off" or "broken": static */
  uint64_t *random; /* what chunk.random takes numbers from: the generator of the job that runs now */
  uint64_t idle[3]; /* a generator for when none does */
  atomic_uint users; /* its place in the host, open jobs, loaded scripts: the last one closes it */
  _Atomic(struct lsi_loaded_here *) dead; /* released scripts, which its thread has yet to drop */
  double c_types_max; /* LuaJIT never frees a C type: a state that has made so many is replaced */
  bool worn;          /* it has made them */
  int unwritten;      /* errno of a print or lsio.log that failed since the last error; 0: none did */
  const struct lsi_log *log; /* the host's; NULL: stdout and stderr */
  uint64_t job;       /* that a call is about, while it lasts, as the log names it; 0: none */
  const char *script; /* name of the script that a call is about, while it lasts; NULL: none */
  struct lsi_lua_place raised; /* where the error comes from that is on its way */
  char refused[256];  /* name of the text that did not compile last; long ones keep their end */
  double compiled_for; /* the job, or loaded script, that had the compiler cleaned */
};

/* What always lies at the bottom of a state's stack. */
enum { LSI_LUA_HANDLER = 1, LSI_LUA_CALL = 2, LSI_LUA_BASE = 2 };

/* forked.c: can Lua be used in this process? In a child of fork it is tried once. */
int lsi_lua_after_fork(struct lsi_error *err);
/* Opens a state with LSIO's modules, held once; NULL and *err on failure. */
struct lsi_lua *lsi_lua_open(struct lsi_error *err);
void lsi_lua_hold(struct lsi_lua *lua);
void lsi_lua_drop(struct lsi_lua *lua); /* closes it when nobody holds it any more; NULL is fine */

/* May run something more within the protected call: before it push arguments, or behind it take results. */
struct lsi_lua_hooks {
  int (*push)(lua_State *L, void *arg);  /* NULL: nothing; returns how many it pushed */
  int results;                           /* of the function */
  void (*take)(lua_State *L, void *arg); /* NULL: they are dropped; they lie on the top */
  void *arg;
};
/* Calls lsio.host's function `name` with the address of `call`. Errors without a code of their own get
 * `code`. `hooks` may be NULL. */
int lsi_lua_call(struct lsi_lua *lua, const char *name, struct lsi_lua_call *call,
                 const struct lsi_lua_hooks *hooks, int code, struct lsi_error *err);
/* Moves the error that a failed lua_pcall left on the top of L, a thread of lua, into *err. */
int lsi_lua_error(struct lsi_lua *lua, lua_State *L, int rc, int code, struct lsi_error *err);
/* Pushes the message handler, which adds "job.lua:12: " to messages that lack a place. */
void lsi_lua_push_handler(struct lsi_lua *lua, lua_State *L);

const struct lsi_vt *lsi_lua_vt(void);
char *lsi_lua_doctor(void); /* as of struct lsi_script_ops */

struct lsi_script_host {
  const struct lsi_log *log; /* borrowed */
  struct lsi_mutex *mutex; /* of the coordinator: script.c */
  struct lsi_lua *coordinator;
  _Atomic(struct lsi_loaded *) released; /* to be closed by who has the mutex, or had it */
  struct lsi_lua *workers[LSI_LUA_WORKERS_MAX]; /* by thread of the context, which opens its own */
  atomic_uint_least64_t next_id; /* of jobs and loaded scripts: jobs may come from several threads */
  atomic_flag warned;            /* that the JIT of a state is dead */
  struct lsi_mutex *opening;     /* of the `lua` of all workers of jobs: hook.c */
};

/* The state in which jobs of *slot (the coordinator, or a worker, on its own thread) are opened now, held for
 * the caller. */
int lsi_lua_current(struct lsi_script_host *host, struct lsi_lua **slot, struct lsi_lua **out,
                    struct lsi_error *err);
/* Has `close` of call's job done; on the state's thread. */
void lsi_lua_end(struct lsi_lua *lua, struct lsi_lua_call *call);

/* ---- loaded scripts (loaded.c) ---- */

/* A loaded script in a worker's state: its environment lives there from the first job on. */
struct lsi_loaded_here {
  struct lsi_lua *lua; /* held */
  unsigned thread;     /* whose state that is */
  double id;
  uint64_t steps; /* run here by all of its jobs */
  struct lsi_loaded_here *next; /* of the same script; then among the dead of the state */
};

struct lsi_loaded {
  struct lsi_script_host *host;
  uint32_t forks;              /* lsi_os_forks when it was loaded */
  struct lsi_lua *coordinator; /* held; NULL: it has not run there yet */
  double id;
  char *text, *name;
  size_t length;
  atomic_uint users; /* the handle, and jobs of it */
  _Atomic(struct lsi_loaded_here *) workers; /* each adds itself and looks for itself only */
  struct lsi_loaded *next; /* among the released of the host */
};

int lsi_loaded_create(struct lsi_script_host *host, const struct lsi_script_source *src,
                      struct lsi_loaded **out, struct lsi_error *err);
/* Has it run in the coordinator, if it has not. Under the coordinator's mutex. */
int lsi_loaded_open(struct lsi_loaded *l, struct lsi_error *err);
/* Its last user has gone: closes it. Under the coordinator's mutex. */
void lsi_loaded_close(struct lsi_loaded *l);
/* As lsi_lua_current, for a job of a loaded script; *steps counts those of all its jobs. */
int lsi_loaded_current(struct lsi_loaded *l, unsigned thread, struct lsi_lua **out, uint64_t **steps,
                       struct lsi_error *err);
/* Drops what has been released of a state; on its thread. */
void lsi_loaded_sweep(struct lsi_lua *lua);

/* ---- jobs ---- */

/* A worker of a job; on cache lines of its own, since it writes here at every step. */
struct lsi_lua_worker {
  _Alignas(LSI_CACHE_LINE) struct lsi_script *script;
  lua_State *L;         /* a Lua thread of the job's own, which holds what a step needs */
  struct lsi_lua *lua;  /* held while it is open */
  struct lsi_lua_chunk *chunk; /* shared by jobs of the Lua state: whoever runs a step fills it */
  struct lsi_step *step; /* the worker's */
  /* Of the step that runs: makes its scratch be there, and shows it. */
  int (*take_scratch)(struct lsi_lua_worker *w, struct lsi_error *err);
  double per_byte;      /* elements of the source */
  uint64_t *steps;      /* of the script in this state: own_steps, or those of a loaded one */
  uint64_t own_steps;
  bool returned;        /* what a step returned lies on L's stack */
  uint64_t random[3];   /* seed, step, numbers taken: see lsi_vt.random */
  void *slot;           /* the state struct, which Lua owns; NULL: none */
  void *backup;         /* of the slot, before each step, when failed steps are skipped */
  size_t backup_size;
  int thread;           /* registry reference of L */
  bool ends;            /* it runs no more steps */
  unsigned index;
  char *value;          /* what the worker ended with, encoded; NULL: it ran no step */
  size_t value_length;
  struct lsi_lua_worker *next;
};

/* Arrays that the job's merged values lie in. */
struct lsi_lua_arrays {
  struct lsi_value **list;
  size_t n, room;
};

struct lsi_script {
  struct lsi_script_host *host;
  struct lsi_lua *coordinator; /* held */
  struct lsi_loaded *loaded;   /* held; NULL: the script is the job's own */
  double id;
  uint64_t number;   /* by which the log names the job */
  const char *text;  /* borrowed until unload */
  size_t length;
  const char *name;
  char *params;      /* encoded, for the workers */
  size_t params_length;
  size_t state_size;
  bool skip;
  uint64_t seed;
  bool has_out_max;
  bool finishes;     /* workers end with something, or run code of the script's */
  bool has_done;     /* the script wants to be told of the end */
  bool has_out_type;
  struct lsi_lua_arrays arrays;
  bool large;        /* the text of the state, which `done` drops */
  bool sourced;      /* by the program, with a request */
  bool transformed;  /* by a transform of the program's: there are no workers here */
  char *reduce;      /* its reducers, as JSON; NULL: none. The state's, once that is there */
  void *begin;       /* the state as it begins there; NULL: none */
  const void *const *ended; /* and what it has become: borrowed */
  size_t n_ended;
  uint8_t type, out_type;
  _Atomic(struct lsi_lua_worker *) workers; /* the last one that opened comes first */
  atomic_bool interrupted;                  /* its steps are to fail */
};

/* The part of a call that says which job and script it is about. */
static inline struct lsi_lua_call lsi_lua_call_of(const struct lsi_script *s) {
  return (struct lsi_lua_call){.number = s->number, .job = s->id, .loaded = s->loaded ? s->loaded->id : 0,
                               .script = s->text, .script_length = s->length, .name = s->name};
}

extern const struct lsi_transform_ops lsi_lua_transform_ops;

/* ---- steps that do not return (hook.c) ---- */

/* The transform's `interrupt`, for a LuaJIT that looks at hooks while it runs compiled code, as the one of
 * lua/upstream/build does. */
#ifdef LSI_LUAJIT_CHECKHOOK
#define LSI_LUA_INTERRUPT lsi_lua_interrupt
#else
#define LSI_LUA_INTERRUPT NULL
#endif
void lsi_lua_interrupt(void *job);
/* For its hooks: L's state is lua's. Protected. */
void lsi_lua_hook_init(lua_State *L, struct lsi_lua *lua);

#endif
