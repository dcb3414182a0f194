/* How bytes arrive, and how results leave. One const table per backend, one file per backend under
 * backends/, one line in its store (store.h). State lives in the instance only; an instance belongs to one
 * worker thread and is created, used and destroyed on it.
 *
 * The engine gives a backend operations (struct lsi_op) with exact byte ranges. Memory rule: `buf` is
 * congruent to `offset` modulo LSI_ALIGN, and the LSI_ALIGN-aligned hull of [offset, offset+length)
 * is writable memory that belongs to the operation, so a backend may round a direct read outwards and
 * let the kernel scribble past the end of the file. An operation that is `exact` lies anywhere and owns
 * [buf, buf + length) alone: it is read through the page cache, or directly if it is aligned as it is. */
#ifndef LSI_BACKEND_H
#define LSI_BACKEND_H

#include "seams/object.h"

#define LSI_ALIGN 4096u
#define LSI_BACKEND_VERSION 9u

enum lsi_direct { LSI_DIRECT_AUTO, LSI_DIRECT_ALWAYS, LSI_DIRECT_NEVER };

struct lsi_backend_config {
  uint32_t queue_depth;  /* most operations that the engine will have in flight here */
  uint32_t open_max;     /* most objects that the engine will hold open here */
  void *arena;           /* memory that most buffers will lie in, for registration; may be NULL */
  size_t arena_size;
  int wake;              /* with LSI_CAP_WAKES: a bell (os.h) at which a reap without limit returns, with
                            nothing if nothing has finished; reap silences it. -1: none */
  uint32_t workers;      /* instances that will share the machine, for sizing thread pools */
  const void *user;      /* mem, sim: the objects and faults of a test */
};

/* What the engine asks for when it has an object opened. */
struct lsi_open {
  const char *name;
  const struct lsi_object_info *known; /* what planning saw of it */
  void *room;            /* a backend may put all bytes here at once if that takes no waiting; NULL: not */
  uint32_t room_bytes;   /* of `room`: only an object that has fewer is put there */
  uint64_t from, bytes;  /* all that will be read of it lies there; `bytes` 0: anywhere */
  enum lsi_direct direct;
  bool maps;             /* SIGBUS is handled and it pays: a resident file may be lent from a mapping */
  uint32_t run;          /* what was learnt of a folder's name holds for opens of one run only */
  bool settle;           /* an object that is changing at this moment is not opened: see the hook `open` */
};

#define LSI_HANDLE_OWN 64u /* bytes of a handle that are its backend's own */

/* An open object: what its backend has decided on for it. The engine allocates it, zeroed, and keeps it still
 * until close. */
struct lsi_handle {
  struct lsi_object_info info; /* what the object was when it was opened */
  bool lends;            /* completions carry `data` instead of filling `buf` */
  bool mapped;           /* it lends where an operation has no `buf`, and reads where it has one; what it
                            lends may change or be lost meanwhile: see `look` */
  bool direct;           /* large reads go round the page cache */
  bool resident;         /* reads need not wait for a device: few in flight are enough */
  bool endless;          /* LSI_ENDLESS: a read that comes short has met the end, of this instance's or of
                            another's. Reads need not be submitted in order, but come back so: each waits for
                            those of lower offsets, wherever they are */
  bool whole;            /* all bytes lie in the order's `room`, and they are what `info` tells of: the object
                            did not change while they were read, and `close` need not look at it */
  uint64_t own[LSI_HANDLE_OWN / sizeof(uint64_t)]; /* a struct of its backend's: nobody else looks at it */
};

/* Writes: whole LSI_ALIGN pages to a handle of lsi_os_file_direct, only where the table says
 * LSI_CAP_WRITES. The memory rule holds for them too; nothing but [buf, buf+length) is read. */
enum lsi_op_kind { LSI_OP_READ = 1, LSI_OP_WRITE = 2 };

/* One I/O. Owned by the engine; the backend holds it from submit until it returns it by reap. */
struct lsi_op {
  struct lsi_handle *handle;
  uint64_t offset;
  void *buf;             /* NULL: to be lent */
  uint32_t length;       /* 1 .. 1 GiB */
  uint8_t kind;          /* enum lsi_op_kind */
  bool uncopied;         /* out: the CPU has copied none of the bytes */
  bool exact;            /* no byte outside [buf, buf + length) may be written */
  bool final;            /* out: of a failure, that reading a part of it again can't help */
  int32_t os_code;       /* out: errno of a failure */
  uint32_t beside;       /* out: bytes that came with them, for a direct read takes whole blocks */
  int64_t result;        /* out: bytes now at `buf` from `offset` (fewer than length: short read, 0: end
                            of object), or written from there, or negative LSIO_ERR_* */
  union {
    const void *data;      /* out: of a handle that lends, the bytes, valid until release */
    struct lsi_error *why; /* out: of one that does not lend, what there is to say of a failure beyond its
                              code (lsi_free); may be NULL. It goes to who reaps */
  };
  uint64_t priv[4];      /* the backend's own while it holds the operation */
  struct lsi_op *next;   /* the holder's own: the backend may queue with it while it holds the op */
  void *owner;           /* the engine's own: whom it goes back to */
  uint64_t begun_ns;     /* likewise: when it was submitted, where that is traced */
};

enum lsi_backend_caps {
  LSI_CAP_WRITES = 1,    /* takes LSI_OP_WRITE */
  LSI_CAP_MAPS = 2,      /* every object it can is mapped: only by name, only where SIGBUS is handled */
  LSI_CAP_WAKES = 4,     /* a bell ends its waits: see `wake` */
  LSI_CAP_PINNED = 16,   /* each read proves that its bytes are of the version that planning saw: nobody looks
                            at a name again at the end */
  LSI_CAP_PACES = 32,    /* it finds out itself how many of the operations that it has are best under way: it
                            is given as many as its devices may take */
  LSI_CAP_IN_ORDER = 8   /* its objects are endless: see lsi_handle. An instance gets one read at a time */
};

struct lsi_backend; /* each backend defines its own */

struct lsi_backend_ops {
  uint32_t version;      /* LSI_BACKEND_VERSION, checked at start */
  const char *name;
  uint32_t caps;
  /* Required. 0 = works here, proven by doing; else LSIO_ERR_UNSUPPORTED with cause and remedy. Any
   * thread. The result is cached by the caller. */
  int (*probe)(struct lsi_error *err);
  /* Required. On the worker's thread. */
  int (*create)(const struct lsi_backend_config *config, struct lsi_backend **out,
                struct lsi_error *err);
  /* Required. No operation is in flight. */
  void (*destroy)(struct lsi_backend *b);
  /* Required. Fills *h. Chooses direct, buffered or lent for this object. Where the order says `settle` and
   * what is there now may be a mixture because somebody is writing to it, nothing is open and the nanoseconds
   * (more than 0) are returned after which to ask again. On EMFILE/ENFILE it returns LSIO_ERR_IO with os_code
   * EMFILE and the engine closes others and tries again. `order` is borrowed. */
  int (*open)(struct lsi_backend *b, const struct lsi_open *order, struct lsi_handle *h,
              struct lsi_error *err);
  /* Required. No operation on it is in flight. Returns, in *now, what the object is at this moment
   * (for the check that it has not changed); negative if that can't be known. */
  int (*close)(struct lsi_backend *b, struct lsi_handle *h, struct lsi_object_info *now);
  /* Required. Takes a prefix of ops and returns its length (0 = full, reap first); never negative:
   * an operation that can't even be started is taken and comes back by reap with its error. */
  int (*submit)(struct lsi_backend *b, struct lsi_op *const *ops, int n);
  /* Required. Returns up to max finished operations, each exactly once. Waits for at least one up to
   * timeout_ns (0 = only look, -1 = until one comes) if any is in flight; 0 = none. Never calls user
   * code. Negative LSIO_ERR_*: the backend itself is broken. */
  int (*reap)(struct lsi_backend *b, struct lsi_op **done, int max, int64_t timeout_ns,
              struct lsi_error *err);
  /* Optional. Makes what is in flight finish soon; everything still comes back by reap. */
  void (*cancel)(struct lsi_backend *b);
  /* Optional; required if it lends. The engine is done with op->data. */
  void (*release)(struct lsi_backend *b, struct lsi_op *op);
  /* Required. What the open object is at this moment, as `close` tells it. What has been read counts only
   * if it is what planning saw. LSIO_ERR_IO: some of the bytes lent so far could not be had;
   * LSIO_ERR_SOURCE: what it is can't be known. */
  int (*look)(struct lsi_backend *b, const struct lsi_handle *h, struct lsi_object_info *now);
};

#endif
