/* What one worker is reading: open objects, units in flight, and how much of it. */
#ifndef LSI_READER_H
#define LSI_READER_H

#include "engine/state/handout.h"
#include "engine/state/trial.h"
#include "memory/arena.h"
#include "memory/block.h"
#include "memory/buffer.h"
#include "seams/backend.h"

/* Files read as they are opened, before their steps run: one at a time, the kernel's code, ours and the
 * transform's push each other out of the core's caches (4 % of the CPU of 4 KiB files). */
#define LSI_AT_ONCE_BATCH 16

/* An operation of the engine around the backend's. */
struct lsi_eop {
  struct lsi_op op; /* first: the backend hands back its address */
  struct lsi_flight *flight;
  struct lsi_flight_extent *extent; /* of the flight */
  struct lsi_eop *next_free;
  uint32_t chunk;   /* UINT32_MAX, or the chunk that it reads alone after a failure */
  uint32_t segment; /* of a flight that is streamed */
  uint32_t retries;
};

/* Part of an extent's range that could not be read. */
struct lsi_hole {
  uint64_t offset;
  uint64_t length;
  int code;
  int os_code;
  uint32_t extent;  /* within the flight */
  uint32_t chunk;   /* UINT32_MAX, or the only chunk that it is about: one that was read alone */
  bool end;         /* the object ended here although it was longer when planned */
  bool final;       /* it is not read again, chunk by chunk */
  struct lsi_error *why; /* what the backend says of it; NULL: nothing */
};

/* An extent of a unit in flight. */
struct lsi_flight_extent {
  uint64_t offset;            /* of the extent, in the object */
  uint64_t length;
  struct lsi_slot *slot;      /* the open object; NULL: it has been closed already */
  void *buffer;               /* leased; NULL when lent, empty or read to another place */
  size_t buffer_bytes;
  bool loan;                  /* operations have no buffer: they are lent */
  bool exact;                 /* they may write nothing beside their bytes */
  const char *data;           /* the byte at `offset`; NULL: not known yet */
  struct lsi_eop *lent;       /* the operation that release() gets back */
  uint64_t issued;            /* bytes of it given to operations */
};

/* Bytes of a step that is streamed: those of one operation, from when it is made until they are used. */
struct lsi_segment {
  const char *data;     /* where they lie, or will; NULL: they are to be lent */
  uint64_t length;
  struct lsi_eop *lent; /* given back when they have been used */
  bool landed;
};

#define LSI_AHEAD_SEGMENTS 64u

/* What is read ahead of a step that is streamed: ahead.c. */
struct lsi_ahead {
  struct lsi_segment segments[LSI_AHEAD_SEGMENTS]; /* a ring, in the order of the bytes */
  uint32_t first, n;
  uint64_t at;          /* bytes of the first one that have been used */
  uint64_t used;        /* of the chunk */
  uint64_t wanted;      /* the most that was asked for at a time */
  bool lent;            /* some were */
  struct lsi_ahead *next;
};

/* An extent of which nothing is read. */
struct lsi_unread {
  struct lsi_unread *next;
  uint32_t extent;      /* within the flight */
  struct lsi_error why;
};

/* A unit whose I/O has begun. From `apart` to `n_old_holes` all is zero until something fails. */
struct lsi_flight {
  struct lsi_flight *next;
  const struct lsi_wave *wave; /* its unit's */
  uint32_t unit;
  uint32_t n_extents;
  struct lsi_flight_extent *issuing; /* its operations are being made */
  uint32_t ops_left;          /* in flight */
  uint64_t bytes;             /* of its extents */
  struct lsi_flight_extent *extents; /* = &one or allocated */
  uint32_t next_step;         /* position in plan->step_order (flights that wait resume here) */
  bool at_once;               /* it was read as its file was opened */
  bool put_off;               /* it is not begun after all: another time, or by another worker */
  bool apart;                 /* it does not go back among the free ones: damaged, or its wave is counted */
  bool damaged;               /* some of it could not be read, at least at first */
  bool retried;               /* chunks have been read one by one */
  bool lost;                  /* no memory to say what failed: all of it has */
  struct lsi_unread *unread;  /* extents that are not read: see unread.h */
  struct lsi_hole *holes;
  uint32_t n_holes;
  bool retrying;              /* chunk by chunk: among the reader's `retrying` */
  uint32_t retry_step;        /* the step that is read again */
  uint32_t retry_chunk;       /* the chunk within that step */
  uint32_t writes;            /* results that are being written from its buffers */
  bool spent;                 /* its steps have run; it waits for those */
  struct lsi_hole *old_holes; /* of the first try */
  uint32_t n_old_holes;
  struct lsi_flight_extent one;
  struct lsi_ahead *ahead;    /* its step is streamed: `one` is read bit by bit. NULL: it is not */
  struct lsi_block *block;    /* held: `one` lies there, and its results stay there. NULL: not so */
};

/* An open object. */
struct lsi_slot {
  struct lsi_handle handle;
  uint32_t object;
  uint32_t device;    /* of the object, index into the plan's */
  uint32_t refs;      /* extents in flight */
  uint32_t hash_next; /* slot index + 1 */
  uint32_t newer;     /* LRU list, slot index + 1 */
  uint32_t older;
  bool open;
};

struct lsi_objects {
  struct lsi_slot *slots;
  uint32_t free;      /* slot index + 1, chained by hash_next */
  uint32_t *buckets;
  uint32_t mask;
  uint32_t newest;    /* ends of the LRU list */
  uint32_t oldest;
  struct lsi_slot *last;
  bool refused;       /* the last error is that of an object which could not be opened */
  bool starving;      /* this worker waits for a descriptor */
  bool all_starve;    /* all workers did, when it last looked */
};

/* Operations, made in blocks. */
struct lsi_eops {
  struct lsi_eop *free;
  struct lsi_eop **blocks;
  uint32_t n_blocks;
};

#define LSI_OPS_MAX 512u /* most in flight of one worker */

/* How much a worker has in flight: depth.c climbs it. */
struct lsi_depth {
  bool hot;              /* the last object opened is resident: no latency is to be hidden */
  bool hit;              /* since the last judgement it was the limit */
  uint32_t ops;
  uint32_t ops_max;
  uint64_t bytes;
  uint64_t begin_bytes;  /* units begin while less is in flight: `bytes`, or what stays hot */
  struct lsi_trial trial; /* a rung has twice as much of both as the one before */
};

/* In flight of what is resident: there is no latency to hide, and the bytes stay in the L2 cache from
 * the copy to the transform. */
#define LSI_HOT_BYTES (256u << 10)

static inline void lsi_depth_begin(struct lsi_depth *d) {
  d->begin_bytes = d->hot ? LSI_MIN(d->bytes, (uint64_t)LSI_HOT_BYTES) : d->bytes;
}

/* Flights that were read as their files were opened, in order; their steps have not run. */
struct lsi_at_once {
  struct lsi_flight *first;
  struct lsi_flight **end;
  uint32_t n;
  bool run; /* all of these, before more are opened */
};

/* A unit whose file was being written to when it was opened. */
struct lsi_resting {
  uint32_t unit;
  uint32_t tries;           /* so far */
  uint64_t until_ns;        /* when to open it again */
};

/* Files of which only names were planned: late.c. */
struct lsi_late {
  bool any;
  uint32_t opens;
  struct lsi_resting *resting; /* a ring, in the order in which they came */
  uint32_t resting_cap;
  uint32_t resting_first;
  uint32_t n_resting;
  struct lsi_resting again; /* the last one taken from there */
  uint64_t most;            /* stored bytes of a step up to which it is read like any other */
  uint64_t allowed;         /* bytes that a larger one may need; 0: it is put off */
  bool pending;             /* `taken` waits for memory, or is to be begun */
  uint32_t taken;           /* unit */
  struct lsi_buffer large;
};

/* Bytes of mapped files are used where they lie, or copied into a buffer: lending.c. */
struct lsi_lending {
  bool allowed;             /* resident files may be mapped, and it pays */
  bool maps;                /* a mapped file has been opened */
  uint64_t most;            /* longest extent of the last object opened that is used where it lies */
  struct lsi_trial trial;   /* of copying and lending, by bytes read */
};

/* Bytes are read straight into the result: straight.c. */
struct lsi_straight {
  bool possible;            /* they are the result, which lies in memory */
  bool into_blocks;         /* in blocks that are handed out (lease.c), not in an array */
  bool first_leased;        /* it has had one */
  struct lsi_trial trial;   /* also past the page cache, where all is aligned: the CPU is the bound */
  struct lsi_block *block;  /* for the next unit; NULL: none yet */
  uint64_t leased;          /* bytes of blocks that units have which have not ended */
};

/* Of what is read, where nothing asks for more (loop/worker_memory.c): it stays in a core's cache. */
#define LSI_ARENA_USUAL ((uint64_t)4 << 20)

struct lsi_reader {
  const struct lsi_wave *wave; /* whose units it takes */
  struct lsi_arena arena;
  struct lsi_objects objects;
  struct lsi_depth depth;
  struct lsi_lending lending;
  struct lsi_straight straight;
  struct lsi_late late;
  struct lsi_eops eops;
  bool aligns;                   /* what the CPU copies from the page cache goes where vectors are aligned */
  uint32_t next_unit;            /* the first of those taken and not yet in flight */
  uint32_t units_end;            /* the one behind the last of those */
  struct lsi_flight *issuing;    /* its operations are being made */
  struct lsi_flight *retrying;   /* being read again, chunk by chunk */
  struct lsi_flight *free_flights;
  struct lsi_ahead *free_aheads;
  uint32_t streamed;             /* flights that are, among those that are ready */
  bool refrains;                 /* from taking a unit, in the midst of one that is streamed */
  bool opens_apart;              /* units may be late, or streamed */
  struct lsi_buffer stitches;    /* bytes of several segments that were lent, in one place */
  struct lsi_at_once at_once;
  uint32_t flights;              /* in flight, without those that wait for their steps to run */
  uint32_t ops_in_flight;        /* with those in the worker's queue */
  uint64_t bytes_in_flight;
};

#endif
